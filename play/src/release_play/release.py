"""One release: the Rollout's own steps, judged by its own AnalysisTemplates."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from canary_gate import (
    Action,
    AnalysisResult,
    AnalysisStep,
    AnalysisTemplate,
    Measurement,
    MetricResult,
    Pause,
    PrometheusProvider,
    SetWeight,
    canary_steps,
    load_templates,
    resolve_arguments,
    run_analysis,
    step_analysis,
)

from release_play.curves import Test, read_curves
from release_play.outcome import MeasurementOutcome, MetricOutcome, ReleaseOutcome, StepOutcome
from release_play.overlays import Overlay
from release_play.pace import Pace
from release_play.pods import Document, PodError
from release_play.processes import ProcessError
from release_play.stage import Stage
from release_play.view import View

LONGEST_NAP = 0.5

PROMOTED, ABORTED, UNDECIDED = "promoted", "aborted", "undecided"


@dataclass(frozen=True)
class Plan:
    """A release to play and the verdict that it must get."""

    name: str
    expected: str


class ReleasePlay:
    """Walks the canary steps of one rendered overlay on the stage."""

    def __init__(self, stage: Stage, overlay: Overlay, pace: Pace, view: View):
        self._stage, self._overlay, self._pace, self._view = stage, overlay, pace, view
        self._steps: list[StepOutcome] = []
        self._test: Test | None = None

    def play(self, plan: Plan) -> ReleaseOutcome:
        """Play to the verdict and settle the stage accordingly."""
        stage, documents = self._stage, self._overlay.documents
        rollout = find_rollout(documents)
        stage.traffic.begin_count()
        tally, began = stage.traffic.tally, time.time()
        try:
            canary_hash = stage.start_canary(rollout, documents).pod_template_hash
        except ProcessError as error:
            verdict, reason = ABORTED, f"the canary was never ready: {error}"
            canary_hash = ""
        else:
            verdict, reason = self._walk(rollout, canary_hash)
        curves = read_curves(
            stage.prometheus,
            rollout["metadata"]["namespace"],
            (stage.stable.pod_template_hash, canary_hash),
            self._test,
            (began, time.time()),
        )
        if verdict == PROMOTED:
            stage.promote()
        else:
            stage.abort()
        return ReleaseOutcome(
            name=plan.name,
            expected=plan.expected,
            verdict=verdict,
            reason=reason,
            seconds=time.time() - began,
            requests={side: tally.requests[side] for side in ("stable", "canary")},
            lost=tally.lost,
            steps=self._steps,
            curves=curves,
        )

    def _walk(self, rollout: Document, canary_hash: str) -> tuple[str, str]:
        """Take step after step; the release's verdict and its reason."""
        templates = load_templates(self._overlay.documents)
        weight = 0
        for step in canary_steps(rollout):
            if isinstance(step, SetWeight):
                weight = step.weight
                self._stage.set_weight(weight)
            elif isinstance(step, AnalysisStep):
                result = self._analyse(step, templates, rollout, canary_hash, weight)
                if ended := self._ended(result, weight):
                    return ended
            elif isinstance(step, Pause):
                if step.seconds is None:
                    return UNDECIDED, f"at {weight} %: the ladder waits for a person"
                time.sleep(step.seconds)
        return PROMOTED, "every step passed"

    def _ended(self, result: AnalysisResult, weight: int) -> tuple[str, str] | None:
        """The release's verdict and reason when a step ends it, None when it goes on."""
        canary = self._stage.canary
        if canary and not canary.process.alive:
            return ABORTED, f"at {weight} %: {self._stage.broken()}"
        if broken := self._stage.broken():
            return UNDECIDED, f"at {weight} %: {broken}"
        if result.action is Action.ADVANCE:
            return None
        verdict = ABORTED if result.action is Action.ABORT else UNDECIDED
        return verdict, f"at {weight} %: {result.message}{_last_value(result)}"

    def _analyse(
        self,
        step: AnalysisStep,
        templates: Mapping[str, AnalysisTemplate],
        rollout: Document,
        canary_hash: str,
        weight: int,
    ) -> AnalysisResult:
        given = resolve_arguments(
            step,
            rollout,
            canary_hash=canary_hash,
            stable_hash=self._stage.stable.pod_template_hash,
        )
        arguments = {**given, **self._pace.arguments(weight)}
        analysis = step_analysis(step, templates, arguments)
        for metric in analysis.metrics:
            if metric.name == "error-sprt":
                self._test = Test(
                    metric.query,
                    float(analysis.arguments["error-accept-at"]),
                    float(analysis.arguments["error-reject-at"]),
                )
        began = time.time()
        latest: dict[str, str] = {}

        def tell(measurement: Measurement) -> None:
            latest[measurement.metric] = f"{measurement.metric} {_shown(measurement)}"

        def nap(seconds: float) -> None:
            sent = self._stage.traffic.tally.requests
            progress = f"{weight} %, {time.time() - began:.0f} s, canary {sent['canary']} requests"
            self._view.now(" · ".join([progress, *latest.values()]))
            time.sleep(min(seconds, LONGEST_NAP))

        with PrometheusProvider(self._stage.prometheus.address, timeout=5.0) as provider:
            result = run_analysis(
                analysis,
                provider,
                clock=time.time,
                sleep=nap,
                on_measurement=tell,
                stop=lambda: self._stage.broken() is not None,
            )
        outcome = StepOutcome(
            weight, result.verdict.value, [_metric(metric) for metric in result.metrics]
        )
        self._steps.append(outcome)
        self._view.step(outcome)
        return result


def find_rollout(documents: list[Document]) -> Document:
    """The one Rollout of an overlay; PodError when there is none or more."""
    rollouts = [document for document in documents if document["kind"] == "Rollout"]
    if len(rollouts) != 1:
        raise PodError(f"the overlay renders {len(rollouts)} Rollouts; a play needs one")
    return rollouts[0]


def _last_value(result: AnalysisResult) -> str:
    """The value that decided, for the metric that the message begins with."""
    for metric in result.metrics:
        if result.message.startswith(f"metric {metric.name} ") and metric.measurements:
            return f", last value {_shown(metric.measurements[-1])}"
    return ""


def _metric(result: MetricResult) -> MetricOutcome:
    measurements = [
        MeasurementOutcome(measurement.at, _shown(measurement), measurement.phase.value)
        for measurement in result.measurements
    ]
    return MetricOutcome(result.name, result.verdict.value, measurements)


def _shown(measurement: Measurement) -> str:
    value = measurement.value
    if value is None:
        return f"no answer: {measurement.message}"
    numbers = value if isinstance(value, list) else [value]
    return ", ".join(f"{number:.4g}" for number in numbers) or "no data"
