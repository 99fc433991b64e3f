"""Runs an analysis as the controller does, in real or virtual time."""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from canary_gate.analysis import Analysis, Metric
from canary_gate.errors import EvaluationError, ProviderError
from canary_gate.evaluation import ProviderValue, holds
from canary_gate.verdict import Action, Phase, Verdict

#: Seconds after which the controller repeats a measurement that ended in an Error.
ERROR_RETRY_SECONDS = 10.0


class Provider(Protocol):
    """Answers a query with a number or a list of numbers."""

    def query(self, query: str) -> ProviderValue:
        """Ask; raises ProviderError where there is no answer."""
        ...


@dataclass(frozen=True)
class Measurement:
    """One look of one metric; `value` is None where the provider gave no answer."""

    metric: str
    at: float
    value: ProviderValue | None
    phase: Phase
    message: str = ""

    @property
    def verdict(self) -> Verdict:
        """The measurement's phase in the words of a report."""
        return Verdict.of(self.phase)


@dataclass
class MetricResult:
    """What became of one metric. `cut_short`: ended because another one ended the run."""

    metric: Metric
    measurements: list[Measurement] = field(default_factory=list)
    phase: Phase = Phase.PENDING
    message: str = ""
    cut_short: bool = False
    failed: int = 0
    inconclusive: int = 0
    count: int = 0
    consecutive_errors: int = 0
    consecutive_successes: int = 0

    @property
    def name(self) -> str:
        """Name of the metric."""
        return self.metric.name

    @property
    def verdict(self) -> Verdict:
        """The metric's verdict; one that was cut short did not decide."""
        return Verdict.UNDECIDED if self.cut_short else Verdict.of(self.phase)


@dataclass(frozen=True)
class AnalysisResult:
    """What a whole analysis came to. `terminated`: stopped from outside before its end."""

    metrics: tuple[MetricResult, ...]
    phase: Phase
    message: str
    started: float
    finished: float
    terminated: bool = False

    @property
    def verdict(self) -> Verdict:
        """The step's verdict; one that was terminated never passes."""
        verdict = Verdict.of(self.phase)
        return Verdict.UNDECIDED if self.terminated and verdict is Verdict.PASS else verdict

    @property
    def action(self) -> Action:
        """What the Rollout does: advance, abort or pause for a person."""
        action = Action.of(self.phase)
        return Action.PAUSE if self.terminated and action is Action.ADVANCE else action


def run_analysis(
    analysis: Analysis,
    provider: Provider,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    on_measurement: Callable[[Measurement], object] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> AnalysisResult:
    """Measure until the controller would end the run; blocks, and returns what it came to.

    `clock` gives seconds and `sleep` waits for some: pass a virtual pair to replay, or an
    event's `wait` to be woken early. `stop` is asked before every look and ends the run as
    a termination does. Measurements due at the same time are taken one after the other.
    """
    return _Run(analysis, provider, clock, on_measurement).until_end(sleep, stop)


class _Run:
    """State of one run: a tick measures what is due, then assesses every metric."""

    def __init__(
        self,
        analysis: Analysis,
        provider: Provider,
        clock: Callable[[], float],
        on_measurement: Callable[[Measurement], object],
    ) -> None:
        self._provider = provider
        self._clock = clock
        self._tell = on_measurement
        self._started = clock()
        self._results = [MetricResult(metric) for metric in analysis.metrics]

    def until_end(
        self, sleep: Callable[[float], object], stop: Callable[[], bool]
    ) -> AnalysisResult:
        while not (stopped := stop()):
            for result in self._due():
                self._measure(result)
            for result in self._results:
                _assess(result)
            if self._ended():
                break
            sleep(max(0.0, min(map(self._next_look, self._running())) - self._clock()))
        for result in self._running():
            result.cut_short = True
            # The controller calls a metric that was cut short after a look Successful.
            result.phase = Phase.SUCCESSFUL if result.measurements else Phase.PENDING
        phase, message = _worst(self._results)
        return AnalysisResult(
            metrics=tuple(self._results),
            phase=phase,
            message=message,
            started=self._started,
            finished=self._clock(),
            terminated=stopped,
        )

    def _running(self) -> list[MetricResult]:
        return [result for result in self._results if not result.phase.completed]

    def _ended(self) -> bool:
        if not self._running():
            return True
        bad = (Phase.FAILED, Phase.ERROR, Phase.INCONCLUSIVE)
        return any(r.phase in bad and not r.metric.dry_run for r in self._results)

    def _next_look(self, result: MetricResult) -> float:
        if not result.measurements:
            return self._started + (result.metric.initial_delay or 0.0)
        last = result.measurements[-1]
        interval = result.metric.interval
        if last.phase is Phase.ERROR or interval is None:
            interval = ERROR_RETRY_SECONDS
        return last.at + interval

    def _due(self) -> list[MetricResult]:
        now = self._clock()
        return [result for result in self._running() if self._next_look(result) <= now]

    def _measure(self, result: MetricResult) -> None:
        value, phase, message = _look(result.metric, self._provider)
        measurement = Measurement(result.name, self._clock(), value, phase, message)
        result.measurements.append(measurement)
        result.phase = Phase.RUNNING
        result.message = message
        _count(result, phase)
        self._tell(measurement)


def _look(metric: Metric, provider: Provider) -> tuple[ProviderValue | None, Phase, str]:
    try:
        value = provider.query(metric.query)
    except ProviderError as error:
        return None, Phase.ERROR, str(error)
    try:
        return value, judge(metric, value), ""
    except EvaluationError as error:
        return value, Phase.ERROR, str(error)


def judge(metric: Metric, value: ProviderValue) -> Phase:
    """Phase of one measurement; raises EvaluationError where a condition cannot be evaluated.

    Both conditions are evaluated, failure wins, neither is Inconclusive; a condition that is
    missing is the opposite of the other, and without both any answer is a success.
    """
    success = None if metric.success is None else holds(metric.success, value)
    failure = None if metric.failure is None else holds(metric.failure, value)
    if failure is None:
        failure = False if success is None else not success
    if success is None:
        success = not failure
    if failure:
        return Phase.FAILED
    return Phase.SUCCESSFUL if success else Phase.INCONCLUSIVE


def _count(result: MetricResult, phase: Phase) -> None:
    if phase is Phase.ERROR:
        result.consecutive_errors += 1
        result.consecutive_successes = 0
        return
    result.count += 1
    result.consecutive_errors = 0
    result.failed += phase is Phase.FAILED
    result.inconclusive += phase is Phase.INCONCLUSIVE
    result.consecutive_successes = (
        result.consecutive_successes + 1 if phase is Phase.SUCCESSFUL else 0
    )


def _assess(result: MetricResult) -> None:
    if result.phase.completed or not result.measurements:
        return
    phase, why = _limit_passed(result)
    if phase is None:
        phase = _end_reached(result)
    if why:
        result.message = f"{why}: {result.message}" if result.message else why
    result.phase = phase


def _limit_passed(result: MetricResult) -> tuple[Phase | None, str]:
    """The last limit that is passed wins: failure, then inconclusive, then errors."""
    metric = result.metric
    phase, why = None, ""
    if 0 <= metric.failure_limit < result.failed:
        phase = Phase.FAILED
        why = f"failed ({result.failed}) > failureLimit ({metric.failure_limit})"
    if result.inconclusive > metric.inconclusive_limit:
        phase = Phase.INCONCLUSIVE
        why = (
            f"inconclusive ({result.inconclusive}) > "
            f"inconclusiveLimit ({metric.inconclusive_limit})"
        )
    if result.consecutive_errors > metric.consecutive_error_limit:
        phase = Phase.ERROR
        why = (
            f"consecutiveErrors ({result.consecutive_errors}) > "
            f"consecutiveErrorLimit ({metric.consecutive_error_limit})"
        )
    return phase, why


def _end_reached(result: MetricResult) -> Phase:
    metric = result.metric
    wanted = metric.consecutive_success_limit
    if 0 < wanted <= result.consecutive_successes:
        return Phase.SUCCESSFUL
    if metric.effective_count is None or result.count < metric.effective_count:
        return Phase.RUNNING
    if wanted == 0:
        return Phase.SUCCESSFUL
    return Phase.INCONCLUSIVE if metric.failure_limit >= 0 else Phase.FAILED


_BADNESS = (Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED)


def _worst(results: Iterable[MetricResult]) -> tuple[Phase, str]:
    """Phase of the run: the worst of its metrics, dry runs apart."""
    phase, message = Phase.SUCCESSFUL, ""
    for result in results:
        if result.metric.dry_run or not result.phase.completed:
            continue
        if _BADNESS.index(result.phase) > _BADNESS.index(phase):
            phase = result.phase
            message = f"metric {result.name} {phase}: {result.message}"
    return phase, message
