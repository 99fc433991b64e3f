"""Asks a real Prometheus what the simulation computes: the same counters, every look, the run."""

import math
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from canary_gate import Analysis, AnalysisResult, PrometheusProvider, ProviderError, run_analysis
from canary_gate.evaluation import ProviderValue
from canary_gate.simulation.conditions import PHASES
from canary_gate.simulation.counters import (
    ERRORS,
    REQUESTS,
    SCRAPE_SECONDS,
    SLOW_1S,
    SLOW_500MS,
    Array,
    Pods,
)
from canary_gate.simulation.default_ladder import GIVEN
from canary_gate.simulation.judging import Away, unanswered
from canary_gate.simulation.ladder import outcomes
from canary_gate.simulation.queries import COUNTED, QUERIES
from canary_gate.simulation.remote_write import Series, write
from canary_gate.simulation.scenario import Scenario
from canary_gate.simulation.step import Side, Step

#: Relative difference up to which two numbers are the same: Prometheus sums in another order.
TOLERANCE = 1e-6


@dataclass(frozen=True)
class Compared:
    """One release's step by Prometheus: its verdict, its looks, and where it says otherwise."""

    scenario: str
    weight: int
    looks: int
    verdict: str
    differences: tuple[str, ...]


def compared(
    address: str,
    scenario: Scenario,
    steps: Sequence[tuple[int, Analysis]],
    releases: int,
    seed: int,
) -> Iterator[Compared]:
    """Draw releases, write their counters, and judge each of their steps by Prometheus as well.

    The server at this address must take remote writes of samples that are an hour old. Templates
    whose figures are no counters of requests are left out on both sides.
    """
    kept = {weight: _counted(analysis) for weight, analysis in steps}
    rng = np.random.default_rng(seed)
    for number, outcome in enumerate(outcomes(scenario, list(kept.items()), releases, rng)):
        analysis = kept[outcome.weight]
        for place, index in enumerate(outcome.places):
            release = f"{scenario.name}-{scenario.canary_rps}-{seed}-{number}-{place}"
            with _Replay(address, release, outcome.step, int(index), scenario.away) as replay:
                result = replay.judge(analysis)
                differences = list(replay.differences)
                expected = str(PHASES[outcome.judged.run.phase[place]])
                ended = float(outcome.judged.run.at[place])
                if (result.phase, replay.now) != (expected, ended):
                    differences.append(
                        f"{result.phase} at {replay.now:g} s, not {expected} at {ended:g} s"
                    )
            yield Compared(
                scenario.name, outcome.weight, replay.looks, result.verdict, tuple(differences)
            )


def _counted(analysis: Analysis) -> Analysis:
    chosen = [template for template in analysis.templates if template.name in COUNTED]
    return Analysis(chosen, analysis.arguments)


class _Replay:
    """A virtual clock, and a provider that asks Prometheus of a release at that clock's time."""

    def __init__(self, address: str, release: str, step: Step, index: int, away: Away) -> None:
        self.now, self.looks = 0.0, 0
        self.differences: list[str] = []
        self._release, self._step, self._index, self._away = release, step, index, away
        length = (step.canary.scrapes - step.canary.before) * SCRAPE_SECONDS
        # Subqueries are evaluated at multiples of 15 s of the Unix clock.
        last = math.floor(time.time() / SCRAPE_SECONDS) * SCRAPE_SECONDS
        self._begun = last - length - float(step.grid[index])
        write(address, _series(step, index, release, self._begun))
        self._provider = PrometheusProvider(address)

    def __enter__(self) -> "_Replay":
        return self

    def __exit__(self, *_: object) -> None:
        self._provider.close()

    def judge(self, analysis: Analysis) -> AnalysisResult:
        """Run the analysis with this release's namespace, and compare every look's value."""
        self._arguments = analysis.arguments
        named = Analysis(analysis.templates, {**analysis.arguments, "namespace": self._release})
        self._templates = {metric.query: metric.template for metric in named.metrics}
        return run_analysis(named, self, clock=lambda: self.now, sleep=self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.now += seconds

    def query(self, query: str) -> ProviderValue:
        """Answer a look from Prometheus; note where the simulation has another answer."""
        if unanswered(self.now, self._away):
            raise ProviderError("Prometheus is away")
        self.looks += 1
        value = self._provider.query(query, self._begun + self.now)
        template = self._templates[query]
        computed = QUERIES[template](self._step, self._arguments, self.now)
        expected = computed.values[: computed.length[self._index], self._index]
        if not _same(value, expected):
            where = f"{template} of {self._release} at {self.now:g} s"
            self.differences.append(f"{where}: {value}, not {expected.tolist()}")
        return value


def _same(value: ProviderValue, expected: Array) -> bool:
    found = np.sort(np.asarray(value, float).ravel())
    if found.shape != expected.shape:
        return False
    return np.allclose(found, np.sort(expected), rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True)


def _series(step: Step, index: int, namespace: str, begun: float) -> Iterator[Series]:
    sides: dict[Side, str] = {"canary": GIVEN["canary-hash"], "stable": GIVEN["stable-hash"]}
    for side, version in sides.items():
        pods = step.pods(side)
        for pod in range(len(pods.phase)):
            labels = {
                "namespace": namespace,
                "pod": f"inference-server-{version}-{pod}",
                "rollouts_pod_template_hash": version,
            }
            for more, values in _exported(pods.values[:, :, pod, index]):
                yield Series(labels | more, _samples(step, pods, pod, index, values, begun))


def _exported(counted: Array) -> Iterator[tuple[dict[str, str], Array]]:
    """Labels and values of what the service exports of its counts, [scrape, counter]."""
    requests, none = counted[:, REQUESTS], 0 * counted[:, REQUESTS]
    infer = {"endpoint": "infer"}
    for status, number in (("200", requests - counted[:, ERRORS]), ("500", counted[:, ERRORS])):
        yield {"__name__": "http_requests_total", "status": status} | infer, number
    yield {"__name__": "http_requests_started_total"} | infer, requests
    yield {"__name__": "http_requests_active"}, none
    buckets = {"0.5": requests - counted[:, SLOW_500MS], "1.0": requests - counted[:, SLOW_1S]}
    for edge, number in {**buckets, "+Inf": requests}.items():
        yield {"__name__": "http_request_duration_seconds_bucket", "le": edge} | infer, number
    yield {"__name__": "http_request_duration_seconds_count"} | infer, requests
    yield {"__name__": "model_outputs_invalid_total", "kind": "nan"}, none


def _samples(
    step: Step, pods: Pods, pod: int, index: int, values: Array, begun: float
) -> list[tuple[int, float | None]]:
    """Samples of the scrapes since the pod was first seen; a lost scrape is a stale marker.

    All pods that are older than the step's past are first seen at the same multiple of 15 s, as
    in the simulation: at an earlier one those without a sample would count whole.
    """
    seen = pods.seen[:, pod, index]
    first = int(seen.argmax()) if seen.any() else len(seen)
    first = max(first, int(pods.phase[pod, index] <= step.grid[index]))
    times = begun + (np.arange(len(seen)) - pods.before) * SCRAPE_SECONDS + pods.phase[pod, index]
    return [
        (round(1000 * float(times[at])), float(values[at]) if seen[at] else None)
        for at in range(first, len(seen))
    ]
