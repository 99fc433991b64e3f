"""What the measurements of a run come to: phases of metrics, then the phase of the run."""

from collections.abc import Iterable
from dataclasses import dataclass, field

from canary_gate.analysis import Metric
from canary_gate.evaluation import ProviderValue
from canary_gate.verdict import Phase, Verdict

_BADNESS = (Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED)


@dataclass(frozen=True)
class Measurement:
    """One look of one metric, at its end; `value` is None where there is no number."""

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

    def record(self, measurement: Measurement) -> None:
        """Add a measurement to the counters, none of which an Error increases but its own."""
        self.measurements.append(measurement)
        if not self.phase.completed:
            self.phase = Phase.RUNNING
        if measurement.phase is Phase.ERROR:
            self.consecutive_errors += 1
            self.consecutive_successes = 0
            return
        self.count += 1
        self.consecutive_errors = 0
        self.failed += measurement.phase is Phase.FAILED
        self.inconclusive += measurement.phase is Phase.INCONCLUSIVE
        good = measurement.phase is Phase.SUCCESSFUL
        self.consecutive_successes = self.consecutive_successes + 1 if good else 0


def ends_the_run(results: Iterable[MetricResult]) -> bool:
    """Whether a metric that is no dry run has failed, erred or stayed undecided."""
    bad = (Phase.FAILED, Phase.ERROR, Phase.INCONCLUSIVE)
    return any(result.phase in bad and not result.metric.dry_run for result in results)


def assess(
    results: Iterable[MetricResult], *, terminating: bool, requested: bool = False
) -> tuple[Phase, str]:
    """Settle every metric, then the run: its phase and message, in the controller's words.

    `terminating`: no metric goes on, because one has ended the run or because it was
    `requested` from outside. A run that ends without a measurement is Successful.
    """
    worst: Phase | None = None
    message = "Run Terminated" if requested else ""
    finished = True
    for result in results:
        if not result.measurements:
            finished = False
            continue
        _settle(result, terminating)
        if not result.phase.completed:
            finished = False
            continue
        _, why = _limit_passed(result)
        if result.metric.dry_run:
            worst = worst or Phase.SUCCESSFUL
            if why:
                result.message = f"Metric assessed {result.phase} due to {why}"
        elif worst is None or _BADNESS.index(result.phase) > _BADNESS.index(worst):
            worst = result.phase
            message = _explained(result, why) if why else message
    if terminating:
        return worst or Phase.SUCCESSFUL, message
    if not finished or worst is None:
        return Phase.RUNNING, ""
    return worst, message


def _explained(result: MetricResult, why: str) -> str:
    text = f'Metric "{result.name}" assessed {result.phase} due to {why}'
    return f'{text}: "Error Message: {result.message}"' if result.message else text


def _settle(result: MetricResult, terminating: bool) -> None:
    if result.phase.completed:
        return
    phase, _ = _limit_passed(result)
    phase = phase or _end_reached(result)
    if terminating and phase is Phase.RUNNING:
        # The controller calls a metric that was cut short after a look Successful.
        phase, result.cut_short = Phase.SUCCESSFUL, True
    if phase is not result.phase:
        result.phase = phase
        result.message = result.measurements[-1].message


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
