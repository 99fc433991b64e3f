"""Metrics that the canary gate asks for, and logs that people read."""

import re
from pathlib import Path

import pytest
from inference_server.observability.logs import Sampler
from inference_server.transport.observer import endpoint_of

from .conftest import Server, Start, wait_until

FLOWERS = {"instances": [[3, 1, 1], [-3, -1, -1], [3, 1, 1]]}


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
    samples = [
        server.metric('http_requests_total{endpoint="predict",method="POST",status="200"}')
        for _ in range(5)
    ]
    assert samples == [20] * 5
    assert server.metric('http_requests_total{endpoint="predict",method="POST",status="500"}') == 0
    model = 'model_id="flowers",model_version="10"'
    wait_until(lambda: server.metric(f"model_ready{{{model}}}") == 1)  # the last worker's too
    assert server.stop() == 0


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
