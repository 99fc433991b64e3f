"""The whole default step, production arguments, against a real Prometheus."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from canary_gate import Analysis, AnalysisResult, PrometheusProvider, load_templates, run_analysis

ROOT = Path(__file__).resolve().parents[2]
TOOLS = ROOT / ".tools" / "bin"
TEMPLATES = ROOT / "rollouts" / "templates"
STEPS = 48  # scrapes, 15 s apart: twelve minutes that end now


def counters(
    version: str, errors: int, slow: int, invalid: int
) -> dict[str, list[tuple[str, int]]]:
    """Requests of one pod in 15 s, 150 in all, by metric and labels."""
    labels = f'namespace="test",pod="{version}",rollouts_pod_template_hash="{version}"'
    infer = labels + ',endpoint="infer"'
    return {
        "http_requests": [
            (infer + ',status="200"', 150 - errors),
            (infer + ',status="500"', errors),
        ],
        "http_requests_started": [(infer, 150)],
        "model_outputs_invalid": [(labels + ',kind="nan"', invalid)],
        "http_request_duration_seconds": [(infer + ',le="0.5"', 150 - slow), (infer, 150)],
    }


def open_metrics(*versions: dict[str, list[tuple[str, int]]]) -> str:
    """Counters that grow evenly, as OpenMetrics text with timestamps."""
    now, lines = int(time.time()), []
    for family in versions[0]:
        histogram = family.endswith("seconds")
        lines.append(f"# TYPE {family} {'unknown' if histogram else 'counter'}")
        for labels, increment in (pair for version in versions for pair in version[family]):
            suffix = ("_bucket" if "le=" in labels else "_count") if histogram else "_total"
            for step in range(STEPS + 1):
                at = now - 15 * (STEPS - step)
                lines.append(f"{family}{suffix}{{{labels}}} {increment * step} {at}")
    text = "\n".join([*lines, "# EOF", ""])
    return text.replace("# TYPE http_request_duration_seconds unknown\n", "")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProvider]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text("{}")
    (folder / "samples.txt").write_text(
        open_metrics(
            counters("good", 0, 2, 0),
            counters("failing", 8, 2, 0),
            counters("slow", 0, 15, 0),
            counters("insane", 0, 2, 1),
            counters("stable", 0, 2, 0),
        )
    )
    create = ["tsdb", "create-blocks-from", "openmetrics", folder / "samples.txt", folder / "data"]
    subprocess.run([TOOLS / "promtool", *create], check=True, capture_output=True, timeout=60)
    address = f"127.0.0.1:{free_port()}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                TOOLS / "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 30
        while not ready(address):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        with PrometheusProvider(f"http://{address}", 10) as provider:
            yield provider
    finally:
        server.terminate()
        server.wait(30)


def ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready", timeout=1).is_success
    except httpx.HTTPError:
        return False


def step(provider: PrometheusProvider, canary: str) -> AnalysisResult:
    documents = (yaml.safe_load(path.read_text()) for path in TEMPLATES.glob("*/template.yaml"))
    arguments = {"namespace": "test", "canary-hash": canary, "stable-hash": "stable"}
    now = [0.0]
    return run_analysis(
        Analysis(load_templates(documents).values(), arguments),
        provider,
        clock=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )


def test_a_good_canary_advances(provider: PrometheusProvider) -> None:
    result = step(provider, "good")
    assert (result.verdict, result.action) == ("pass", "advance"), result.message
    values = {metric.name: metric.measurements[-1].value for metric in result.metrics}
    # The subquery ends at a multiple of 15 s, up to one scrape before the look.
    assert values["error-window"] == pytest.approx([6000, 0], abs=150)
    assert values["error-window"][1] == 0
    assert values["model-sanity"] == [0.0]
    assert values["error-sprt"][0] == pytest.approx(150 * STEPS * -0.0040120415)
    assert values["latency-500ms-window"] == pytest.approx([5400, 72], rel=0.03)


@pytest.mark.parametrize(
    ("canary", "metric"),
    [
        ("failing", "error-sprt"),
        ("insane", "model-sanity"),
        ("slow", "latency-500ms-window"),
    ],
)
def test_a_bad_canary_is_aborted_by_the_template_that_asks_for_it(
    provider: PrometheusProvider, canary: str, metric: str
) -> None:
    result = step(provider, canary)
    assert (result.verdict, result.action) == ("fail", "abort")
    assert [m.name for m in result.metrics if m.verdict == "fail"] == [metric]


def test_an_unknown_version_is_undecided(provider: PrometheusProvider) -> None:
    result = step(provider, "unknown")
    assert (result.verdict, result.action) == ("undecided", "pause")
    assert all(m.verdict == "undecided" for m in result.metrics)
