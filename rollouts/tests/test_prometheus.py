"""The whole default step, as rendered, with production's arguments, on a real Prometheus."""

import subprocess
import time
from collections.abc import Iterator
from functools import cache

import pytest
from canary_gate import (
    Analysis,
    AnalysisResult,
    AnalysisStep,
    PrometheusProvider,
    canary_steps,
    load_templates,
    resolve_arguments,
    run_analysis,
    step_analysis,
)
from canary_gate.simulation.server import prometheus

from rollouts.tests.rendering import REPOSITORY, Document, render, rollout_of

TOOLS = REPOSITORY / ".tools" / "bin"
STEPS = 48  # scrapes, 15 s apart: twelve minutes that end now
_ANSWERED = 'http_requests_total{endpoint="infer",status='
_FAST = 'http_request_duration_seconds_bucket{endpoint="infer",le='
_RESTARTS = 'kube_pod_container_status_restarts_total{container="inference-server"}'
_PROVIDER = 'model_execution_provider{gpu_required="true",provider='
_INVALID = 'model_outputs_invalid_total{kind="nan"}'
#: What a good pod's counters gain in 15 s: 150 requests, two slow and one refused.
COUNTERS = {
    _ANSWERED + '"200"}': 149,
    _ANSWERED + '"400"}': 1,
    _ANSWERED + '"500"}': 0,
    'http_requests_started_total{endpoint="infer"}': 150,
    _FAST + '"0.5"}': 148,
    _FAST + '"1.0"}': 150,
    _FAST + '"+Inf"}': 150,
    _INVALID: 0,
    'model_class_total{class="benign"}': 90,
    'model_class_total{class="malignant"}': 59,
    **{f'model_score_bucket{{le="{i / 10}"}}': 15 * i for i in range(1, 11)},
    'model_score_bucket{le="+Inf"}': 150,
}
#: What its gauges show, and kube-state-metrics of it.
GAUGES = {"up{}": 1, "http_requests_active{}": 0, _PROVIDER + '"CUDAExecutionProvider"}': 1}
#: Versions and what is otherwise with them.
VERSIONS: dict[str, dict[str, int]] = {
    "stable": {},
    "good": {},
    "failing": {_ANSWERED + '"200"}': 141, _ANSWERED + '"500"}': 8},
    "slow": {_FAST + '"0.5"}': 135},
    "slowish": {_FAST + '"0.5"}': 141},
    "insane": {_INVALID: 1},
    "restarted": {_RESTARTS: 2},
    "on-cpu": {_PROVIDER + '"CPUExecutionProvider"}': 1},
    "another": {'model_info{sha256="another"}': 1},
    "refusing": {_ANSWERED + '"200"}': 119, _ANSWERED + '"400"}': 31},
    "one-class": {
        'model_class_total{class="benign"}': 149,
        'model_class_total{class="malignant"}': 0,
    },
    "shifted": {f'model_score_bucket{{le="{i / 10}"}}': 3 * i for i in range(1, 9)},
}


@cache
def manifests() -> list[Document]:
    return render(REPOSITORY / "overlays" / "production" / "inference")


def question(canary: str) -> Analysis:
    """The last analysis of the ladder, of this version beside stable."""
    rollout = rollout_of(manifests())
    *_, last = (step for step in canary_steps(rollout) if isinstance(step, AnalysisStep))
    given = resolve_arguments(last, rollout, canary_hash=canary, stable_hash="stable")
    return step_analysis(last, load_templates(manifests()), given)


def lines(version: str, namespace: str, sha256: str) -> Iterator[str]:
    """One pod's samples as OpenMetrics text: counters grow evenly, gauges stand."""
    now = int(time.time())
    own = f'namespace="{namespace}",pod="inference-{version}-x1"'
    scraped = own + f',rollouts_pod_template_hash="{version}"'
    gauges = GAUGES | {_RESTARTS: 0, f'model_info{{sha256="{sha256}"}}': 1}
    for series, value in (COUNTERS | gauges | VERSIONS[version]).items():
        name, labels = series.rstrip("}").split("{")
        every = ",".join(filter(None, (labels, own if name.startswith("kube_") else scraped)))
        for step in range(STEPS + 1):
            shown = value * step if series in COUNTERS else value
            yield f"{name}{{{every}}} {shown} {now - 15 * (STEPS - step)}"


def open_metrics() -> str:
    arguments = question("good").arguments
    namespace, sha256 = arguments["namespace"], arguments["model-sha256"]
    found = (line for version in VERSIONS for line in lines(version, namespace, sha256))
    return "\n".join([*sorted(found, key=lambda line: line.split("{")[0]), "# EOF", ""])


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusProvider]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "samples.txt").write_text(open_metrics())
    create = ["tsdb", "create-blocks-from", "openmetrics", "samples.txt", "data"]
    subprocess.run(
        [TOOLS / "promtool", *create], check=True, cwd=folder, capture_output=True, timeout=60
    )
    with (
        prometheus(TOOLS / "prometheus", folder / "data") as address,
        PrometheusProvider(address, 10) as provider,
    ):
        yield provider


def step(provider: PrometheusProvider, canary: str) -> AnalysisResult:
    now = [0.0]
    return run_analysis(
        question(canary),
        provider,
        clock=lambda: now[0],
        sleep=lambda seconds: now.__setitem__(0, now[0] + seconds),
    )


def last_values(result: AnalysisResult) -> dict[str, list[float]]:
    """What each metric's query gave at its last look."""
    found = {}
    for metric in result.metrics:
        value = metric.measurements[-1].value
        assert isinstance(value, list), metric.name
        found[metric.name] = value
    return found


def test_a_good_canary_advances(provider: PrometheusProvider) -> None:
    result = step(provider, "good")
    assert (result.verdict, result.action) == ("pass", "advance"), result.message
    assert all(metric.verdict == "pass" for metric in result.metrics)
    values = last_values(result)
    # A window ends at a multiple of 15 s, up to one scrape before the look.
    assert values["minimum-traffic"] == pytest.approx([6000], abs=150)
    assert values["error-window"] == pytest.approx([6000, 0], abs=150)
    assert values["error-window"][1] == 0
    assert values["model-sanity"] == values["pod-restarts"] == [0.0]
    assert values["execution-provider"] == values["version-attestation"] == [0.0]
    assert values["error-sprt"][0] == pytest.approx(150 * STEPS * -0.0040120415)


@pytest.mark.parametrize(
    ("canary", "metrics"),
    [
        ("failing", {"error-sprt", "error-cusum"}),
        ("insane", {"model-sanity"}),
        ("slow", {"latency-500ms-sprt"}),
        ("slowish", {"latency-500ms-window", "latency-against-stable"}),
        ("restarted", {"pod-restarts"}),
        ("on-cpu", {"execution-provider"}),
        ("another", {"version-attestation"}),
        ("refusing", {"input-rejections"}),
        ("one-class", {"class-ratio"}),
        ("shifted", {"prediction-psi", "confidence-shift"}),
    ],
)
def test_a_bad_canary_is_aborted_by_the_template_that_asks_for_it(
    provider: PrometheusProvider, canary: str, metrics: set[str]
) -> None:
    result = step(provider, canary)
    assert (result.verdict, result.action) == ("fail", "abort")
    assert {m.name for m in result.metrics if m.verdict == "fail"} == metrics


def test_an_unknown_version_is_undecided(provider: PrometheusProvider) -> None:
    result = step(provider, "unknown")
    assert (result.verdict, result.action) == ("undecided", "pause")
    assert all(m.verdict == "undecided" for m in result.metrics)
