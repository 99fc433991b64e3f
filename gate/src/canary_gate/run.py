"""Runs an analysis as the controller does, in real or virtual time."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from canary_gate.analysis import Analysis, Metric
from canary_gate.assessment import Measurement, MetricResult, assess, ends_the_run
from canary_gate.errors import EvaluationError, ProviderError, RefusedError
from canary_gate.evaluation import ProviderValue, holds
from canary_gate.expression import Node
from canary_gate.job import Job, JobRunner
from canary_gate.verdict import Action, Phase, Verdict

#: Seconds after which the controller repeats a measurement that ended in an Error.
ERROR_RETRY_SECONDS = 10.0


class Provider(Protocol):
    """Answers a query with a number or a list of numbers."""

    def query(self, query: str) -> ProviderValue:
        """Ask; raises ProviderError where there is no answer."""
        ...


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
        """What the Rollout does: advance, abort or pause for a person.

        It advances after a termination too: to the controller that run was Successful.
        """
        return Action.of(self.phase)


def run_analysis(
    analysis: Analysis,
    provider: Provider,
    *,
    jobs: JobRunner | None = None,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], object] = time.sleep,
    on_measurement: Callable[[Measurement], object] = lambda _: None,
    stop: Callable[[], bool] = lambda: False,
) -> AnalysisResult:
    """Measure until the controller would end the run; blocks, and returns what it came to.

    `clock` gives seconds and `sleep` waits for some: pass a virtual pair to replay, or an
    event's `wait` to be woken early. `stop` is asked before every look and ends the run as
    a termination does. Raises RefusedError for an analysis with a job where `jobs` is None.
    """
    run = AnalysisRun(analysis, provider, jobs=jobs, clock=clock, on_measurement=on_measurement)
    while not run.phase.completed:
        if stop():
            run.terminate()
        else:
            run.reconcile()
        if not run.phase.completed:
            sleep(max(0.0, run.next_look - clock()))
    return run.result()


@dataclass
class _Flight:
    """A job that runs: when it was started, and when the controller looks at it next."""

    job: Job
    started: float
    look_at: float


class AnalysisRun:
    """One AnalysisRun, to be reconciled when its next look is due.

    Runs that go on side by side, as a background analysis does beside a step, share a clock:
    reconcile each, then sleep until the earliest `next_look`. Measurements that are due at the
    same time are taken one after the other.
    """

    def __init__(
        self,
        analysis: Analysis,
        provider: Provider,
        *,
        jobs: JobRunner | None = None,
        clock: Callable[[], float] = time.monotonic,
        on_measurement: Callable[[Measurement], object] = lambda _: None,
    ) -> None:
        for metric in analysis.metrics:
            if metric.job is not None and jobs is None:
                raise RefusedError(
                    "runs a job, and nothing here runs jobs",
                    template=metric.template,
                    metric=metric.name,
                )
        self._provider, self._jobs = provider, jobs
        self._clock, self._tell = clock, on_measurement
        self._started = self._finished = clock()
        self._results = [MetricResult(metric) for metric in analysis.metrics]
        self._flights: dict[str, _Flight] = {}
        self._reconciled = self._terminated = False
        self.phase, self.message = Phase.RUNNING, ""

    @property
    def next_look(self) -> float:
        """When the next measurement is due; now or earlier when the run has ended."""
        return min(map(self._next, self._running()), default=self._finished)

    def reconcile(self) -> None:
        """Measure what is due, and settle what that makes of the metrics and of the run."""
        if self.phase.completed:
            return
        now, first = self._clock(), not self._reconciled
        self._reconciled = True
        for result in self._running():
            # A run has begun, and delays count, once it was reconciled; also a delay of 0s.
            delayed = first and result.metric.initial_delay is not None
            if self._next(result) <= now and not delayed:
                self._measure(result)
        self._settle(terminating=False)
        if not self.phase.completed and ends_the_run(self._results):
            self._wind_up()

    def terminate(self) -> None:
        """End the run as `spec.terminate` does."""
        if not self.phase.completed:
            self._terminated = True
            self._wind_up()

    def result(self) -> AnalysisResult:
        """What the run has come to so far."""
        return AnalysisResult(
            metrics=tuple(self._results),
            phase=self.phase,
            message=self.message,
            started=self._started,
            finished=self._finished if self.phase.completed else self._clock(),
            terminated=self._terminated,
        )

    def _running(self) -> list[MetricResult]:
        return [result for result in self._results if not result.phase.completed]

    def _next(self, result: MetricResult) -> float:
        if flight := self._flights.get(result.name):
            return flight.look_at
        if not result.measurements:
            return self._started + (result.metric.initial_delay or 0.0)
        last = result.measurements[-1]
        interval = result.metric.interval
        if last.phase is Phase.ERROR or interval is None:
            interval = ERROR_RETRY_SECONDS
        return last.at + interval

    def _measure(self, result: MetricResult) -> None:
        manifest = result.metric.job
        if manifest is None:
            self._record(result, *_look(result.metric, self._provider))
        elif result.name in self._flights:
            self._look_at_job(result)
        elif self._jobs is not None:
            self._start_job(result, self._jobs, manifest)

    def _start_job(
        self, result: MetricResult, jobs: JobRunner, manifest: Mapping[str, Any]
    ) -> None:
        now = self._clock()
        try:
            job = jobs.start(result.name, manifest)
        except ProviderError as error:
            self._record(result, None, Phase.ERROR, str(error))
            return
        # Looked at in the next round: a metric that fails in this one still ends it.
        self._flights[result.name] = _Flight(job, now, now)

    def _look_at_job(self, result: MetricResult) -> None:
        flight, now = self._flights[result.name], self._clock()
        try:
            phase, message = flight.job.state()
        except ProviderError as error:
            phase, message = Phase.ERROR, str(error)
        if phase.completed:
            del self._flights[result.name]
            self._record(result, None, phase, message)
            return
        # The controller waits longer the longer a job runs, and counts whole seconds.
        flight.look_at = now + max(1.0, math.sqrt(2 * (now - flight.started)))

    def _wind_up(self) -> None:
        for result in self._running():
            if flight := self._flights.pop(result.name, None):
                result.cut_short = True
                phase, message = Phase.INCONCLUSIVE, "Metric Terminated"
                try:
                    flight.job.stop()
                except ProviderError as error:
                    phase, message = Phase.ERROR, str(error)
                self._record(result, None, phase, message)
        self._settle(terminating=True)

    def _settle(self, *, terminating: bool) -> None:
        self.phase, self.message = assess(
            self._results, terminating=terminating, requested=self._terminated
        )
        self._finished = self._clock()
        for result in self._running() if self.phase.completed else ():
            result.cut_short = True

    def _record(
        self, result: MetricResult, value: ProviderValue | None, phase: Phase, message: str
    ) -> None:
        measurement = Measurement(result.name, self._clock(), value, phase, message)
        result.record(measurement)
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
    success = _side("successCondition", metric.success_condition, metric.success, value)
    failure = _side("failureCondition", metric.failure_condition, metric.failure, value)
    if failure is None:
        failure = False if success is None else not success
    if success is None:
        success = not failure
    if failure:
        return Phase.FAILED
    return Phase.SUCCESSFUL if success else Phase.INCONCLUSIVE


def _side(what: str, text: str, condition: Node | None, value: ProviderValue) -> bool | None:
    if condition is None:
        return None
    try:
        return holds(condition, value)
    except EvaluationError as error:
        reason = str(error)
        if value == []:
            reason = "metric result is nil or empty: no data returned from the metric provider"
        raise EvaluationError(f'could not evaluate {what} "{text}": {reason}') from None
