from collections.abc import Callable
from typing import Any

import pytest
from canary_gate import Analysis, AnalysisResult, ProviderError, load_templates, run_analysis
from hypothesis import settings

# The machine's cores are shared: a slow example is no finding.
settings.register_profile("no-deadline", deadline=None)
settings.load_profile("no-deadline")

GUARDED = {
    "successCondition": (
        "len(result) > 0 && !isNaN(result[0]) && !isInf(result[0]) && result[0] < 1"
    ),
    "failureCondition": "len(result) > 0 && !isNaN(result[0]) && result[0] > 2",
}


def document(*metrics: dict[str, Any], name: str = "template", **spec: Any) -> dict[str, Any]:
    """An AnalysisTemplate of guarded metrics: below 1 a success, above 2 a failure."""
    provider = {"prometheus": {"query": "up"}}
    full = [{"name": "metric", "provider": provider, **GUARDED, **metric} for metric in metrics]
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "AnalysisTemplate",
        "metadata": {"name": name},
        "spec": {"metrics": full, **spec},
    }


class Replay:
    """A virtual clock and a provider that answers query by query from scripts of values.

    A script's last value repeats; None is a provider that cannot be reached.
    """

    def __init__(self, scripts: dict[str, list[Any]]) -> None:
        self.scripts = {query: list(values) for query, values in scripts.items()}
        self.now = 0.0
        self.looks: list[tuple[float, str]] = []

    def clock(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def query(self, query: str) -> Any:
        script = self.scripts[query]
        value = script.pop(0) if len(script) > 1 else script[0]
        self.looks.append((self.now, query))
        if value is None:
            raise ProviderError("connection refused")
        return value if isinstance(value, list) else [value]


@pytest.fixture(scope="session")
def build() -> Callable[..., dict[str, Any]]:
    return document


@pytest.fixture(scope="session")
def play() -> Callable[..., tuple[AnalysisResult, Replay]]:
    def run(
        documents: dict[str, Any] | list[dict[str, Any]],
        *values: Any,
        scripts: dict[str, list[Any]] | None = None,
        arguments: dict[str, str] | None = None,
        **options: Any,
    ) -> tuple[AnalysisResult, Replay]:
        listed = documents if isinstance(documents, list) else [documents]
        replay = Replay(scripts or {"up": list(values)})
        if "jobs" in options:
            options["jobs"].clock = replay.clock
        analysis = Analysis(load_templates(listed).values(), arguments)
        return run_analysis(
            analysis, replay, clock=replay.clock, sleep=replay.sleep, **options
        ), replay

    return run
