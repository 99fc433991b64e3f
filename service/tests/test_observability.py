"""Metrics that the canary gate asks for, and logs that people read."""

import os
import re
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from inference_server.observability.logs import Sampler
from inference_server.observability.prediction_record import read_predictions
from inference_server.transport.observer import endpoint_of

from .conftest import Server, Start, wait_until
from .onnx_models import slow
from .test_traces import PARENT, TRACE, Collector, attributes, collector

__all__ = ["collector"]

FLOWERS = {"instances": [[3, 1, 1], [-3, -1, -1], [3, 1, 1]]}
SAMPLED = {"traceparent": f"00-{TRACE}-{PARENT}-01"}


def names(text: str) -> set[str]:
    return set(re.findall(r"^# TYPE (\S+)", text, re.MULTILINE))


def test_every_status_of_the_gate_exists_before_the_first_request(
    repository: Path, start: Start
) -> None:
    server = start(repository)
    for endpoint in ("infer", "predict"):
        for status in (200, 400, 429, 500, 503):
            sample = f'http_requests_total{{endpoint="{endpoint}",method="POST",status="{status}"}}'
            assert server.metric(sample) == 0, sample
    for kind in ("nan", "inf", "out_of_range"):
        sample = (
            f'model_outputs_invalid_total{{kind="{kind}",model_id="flowers",model_version="10"}}'
        )
        assert server.metric(sample) == 0


def test_requests_are_counted_from_start_to_finish(repository: Path, start: Start) -> None:
    server = start(repository)
    for _ in range(3):
        server.post("/predict", FLOWERS)
    server.post("/predict", {})
    count = 'http_requests_total{{endpoint="predict",method="POST",status="{}"}}'
    assert server.metric(count.format(200)) == 3
    assert server.metric(count.format(400)) == 1
    assert server.metric('http_requests_started_total{endpoint="predict"}') == 4
    assert server.metric('http_request_duration_seconds_count{endpoint="predict"}') == 4
    assert server.metric("http_requests_active") == 1  # the scrape itself


def test_duration_has_the_edges_of_the_slo(server: Server) -> None:
    text = server.get("/metrics").text
    found = re.findall(r'duration_seconds_bucket{endpoint="infer",le="([^"]+)"}', text)
    assert found == [
        "0.005",
        "0.01",
        "0.025",
        "0.05",
        "0.1",
        "0.25",
        "0.5",
        "1.0",
        "2.5",
        "5.0",
        "10.0",
        "+Inf",
    ]


def test_classes_scores_and_rows_are_counted(repository: Path, start: Start) -> None:
    server = start(repository)
    server.post("/predict", FLOWERS)
    model = 'model_id="flowers",model_version="10"'
    assert server.metric(f'model_class_total{{class="large",{model}}}') == 2
    assert server.metric(f'model_class_total{{class="small",{model}}}') == 1
    assert server.metric(f'model_class_total{{class="other",{model}}}') == 0
    assert server.metric(f"model_score_count{{{model}}}") == 3
    assert server.metric(f'model_score_bucket{{le="0.1",{model}}}') == 1
    assert server.metric(f"model_predictions_total{{{model}}}") == 3
    assert server.metric('inference_batch_size_sum{model_id="flowers"}') == 3
    assert server.metric('inference_queue_depth{model_id="flowers"}') == 0


def test_model_facts_are_gauges_of_one(server: Server) -> None:
    text = server.get("/metrics").text
    assert re.search(r'model_info{framework="numpy 2",.*sha256="[0-9a-f]{64}"} 1.0', text)
    assert re.search(
        r'model_execution_provider{gpu_required="false",.*"CPUExecutionProvider"} 1.0', text
    )


@pytest.mark.parametrize(
    ("path", "endpoint"),
    [
        ("/v2/models/a/infer", "infer"),
        ("/v2/models/a/versions/1/infer", "infer"),
        ("/predict", "predict"),
        ("/v2/health/live", "health"),
        ("/v2/models/a/ready", "health"),
        ("/health", "health"),
        ("/v2", "metadata"),
        ("/v2/models/a", "metadata"),
        ("/v2/models/ready", "metadata"),  # a model of that name, which not everybody may see
        ("/v2/models/infer", "metadata"),
        ("/info", "metadata"),
        ("/v2/repository/index", "admin"),
        ("/metrics", "metrics"),
        ("/anything/else", "other"),
    ],
)
def test_the_endpoint_label_never_carries_a_path(path: str, endpoint: str) -> None:
    assert endpoint_of(path) == endpoint


def test_workers_count_together(repository: Path, start: Start) -> None:
    server = start(repository, "--workers=2")
    for _ in range(20):
        server.client.post("/predict", json=FLOWERS, headers={"Connection": "close"})
    done = 'http_requests_total{endpoint="predict",method="POST",status="200"}'
    wait_until(lambda: server.metric(done) == 20)  # an answer is counted once it has been sent
    assert [server.metric(done) for _ in range(5)] == [20] * 5
    assert server.metric('http_requests_total{endpoint="predict",method="POST",status="500"}') == 0
    model = 'model_id="flowers",model_version="10"'
    wait_until(lambda: server.metric(f"model_ready{{{model}}}") == 1)  # the last worker's too
    assert server.stop() == 0


def test_requests_that_a_killed_worker_never_finished_are_seen(
    tmp_path: Path, start: Start
) -> None:
    slow(tmp_path / "slow" / "1" / "model.onnx")
    server = start(tmp_path, "--workers=2", "--max-body-bytes=100000000")
    quick, long = {"instances": [[0] * 1200]}, {"instances": [[0] * 1200] * 400}
    done = 'http_requests_total{endpoint="predict",method="POST",status="200"}'
    begun = 'http_requests_started_total{endpoint="predict"}'
    url = f"{server.client.base_url}/predict"
    assert httpx.post(url, json=quick, timeout=30).status_code == 200
    with ThreadPoolExecutor() as pool:
        lost = pool.submit(httpx.post, url, json=long, timeout=60)
        wait_until(lambda: server.metric(begun) == 2)
        for worker in _children(server.process.pid):
            os.kill(worker, signal.SIGKILL)
        with pytest.raises(httpx.TransportError):
            lost.result()
    wait_until(lambda: server.status("/v2/health/ready") == 200)
    server.client.close()
    server.client = httpx.Client(base_url=server.client.base_url, timeout=30)
    assert (server.metric(begun), server.metric(done)) == (2, 1)
    wait_until(lambda: server.metric("worker_restarts_total") == 2)
    assert server.metric("http_requests_active") == 1  # the scrape itself


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_openmetrics_has_the_traces_of_sampled_requests(
    repository: Path, start: Start, collector: Collector
) -> None:
    server = start(repository, environment={"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url})
    server.post("/predict", FLOWERS, headers=SAMPLED)
    accept = "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"
    answer = server.get("/metrics", headers={"Accept": accept})
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    (line,) = [line for line in answer.text.splitlines() if TRACE in line]
    assert line.startswith('http_request_duration_seconds_bucket{endpoint="predict"')
    assert TRACE not in server.get("/metrics").text
    assert server.stop() == 0
    root, *stages = collector.spans
    assert root.parent_span_id.hex() == PARENT
    assert [each.name for each in stages] == ["preprocess", "queue", "inference", "postprocess"]
    facts = attributes(root)
    assert facts["model.name"] == facts["model_id"] == "flowers"
    assert facts["model.version"] == "10"
    ends = [stage.end_time_unix_nano for stage in stages]
    assert ends == sorted(ends)
    assert root.start_time_unix_nano <= stages[0].start_time_unix_nano
    assert ends[-1] <= root.end_time_unix_nano
    assert facts["inference_time_ms"] > 0


@pytest.mark.parametrize("workers", [1, 2])
def test_predictions_are_kept_for_drift_work(
    repository: Path, start: Start, tmp_path: Path, workers: int
) -> None:
    server = start(
        repository,
        "--prediction-log-sample-rate=1",
        f"--prediction-log-dir={tmp_path}",
        f"--workers={workers}",
    )
    for number in range(10):
        server.client.post(
            "/predict",
            json={"instances": [[number, 1, 1]]},
            headers={"X-Request-ID": f"kept-{number}", "Connection": "close"},
        )
    wait_until(lambda: server.metric("prediction_log_records_total") == 10)
    assert server.stop() == 0
    kept = sorted(read_predictions(tmp_path), key=lambda each: str(each["request_id"]))
    assert [each["request_id"] for each in kept] == [f"kept-{n}" for n in range(10)]
    assert [each["inputs"]["features"]["data"] for each in kept] == [[n, 1, 1] for n in range(10)]
    assert {(each["model"], each["version"]) for each in kept} == {("flowers", 10)}
    assert {path.suffix for path in tmp_path.iterdir()} == {".gz"}


def test_a_request_is_one_line_of_json_without_its_content(server: Server) -> None:
    server.post(
        "/predict?version=2",
        {"instances": [[0.123456, 1, 1]]},
        headers={
            "X-Request-ID": "log-1",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        },
    )

    def lines() -> list[dict[str, object]]:
        return [event for event in server.events() if event.get("request_id") == "log-1"]

    wait_until(lambda: bool(lines()))
    (event,) = lines()
    assert event["endpoint"] == "predict"
    assert event["status"] == 200
    assert event["trace_id"] == "0af7651916cd43dd8448eb211c80319c"
    assert isinstance(event["duration_ms"], float)
    assert "0.123456" not in str(event)
    assert (event["model_id"], event["model_version"]) == ("flowers", "2")
    assert isinstance(event["inference_time_ms"], float)
    assert isinstance(event["queue_ms"], float)
    assert event["batch_rows"] == 1
    assert int(str(event["input_size"])) > 20
    assert {"timestamp", "level", "logger", "pod", "module", "function", "line"} <= set(event)


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (0.01, 10), (0.25, 250), (1, 1000)])
def test_sampling_keeps_its_rate(rate: float, expected: int) -> None:
    sampler = Sampler(rate)
    assert abs(sum(sampler() for _ in range(1000)) - expected) <= 1


def test_openapi_describes_every_endpoint(server: Server) -> None:
    document = server.get("/openapi.json").json()
    assert {"/predict", "/v2/models/{model}/infer", "/health", "/metrics"} <= set(document["paths"])
    assert "InferRequest" in document["components"]["schemas"]
    assert server.get("/docs").status_code == 200


def test_an_unknown_path_is_a_problem(server: Server) -> None:
    answer = server.get("/nope")
    assert answer.status_code == 404
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["error"]
