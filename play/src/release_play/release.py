"""One release: the Rollout's own steps, judged by its own AnalysisTemplates."""

from __future__ import annotations

import time
from dataclasses import dataclass

from canary_gate import (
    Action,
    Analysis,
    AnalysisStep,
    Pause,
    RefusedError,
    SetCanaryScale,
    SetWeight,
    canary_steps,
)

from release_play.curves import Test, read_curves
from release_play.gate import Gate, Judgement
from release_play.outcome import MetricOutcome, ReleaseOutcome, StepOutcome
from release_play.overlays import Overlay
from release_play.pace import Pace
from release_play.pods import Document, Pod, PodError
from release_play.processes import ProcessError
from release_play.stage import Stage
from release_play.view import View

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
        self._beside: list[MetricOutcome] = []
        self._test: Test | None = None

    def play(self, plan: Plan) -> ReleaseOutcome:
        """Play to the verdict and settle the stage accordingly."""
        stage, documents = self._stage, self._overlay.documents
        rollout = find_rollout(documents)
        stage.traffic.begin_count()
        tally, began = stage.traffic.tally, time.time()
        try:
            canary = stage.start_canary(rollout, documents)
        except ProcessError as error:
            verdict, reason = ABORTED, f"the canary was never ready: {error}"
            canary_hash = ""
        else:
            verdict, reason = self._walk(rollout, canary)
            canary_hash = canary.pod_template_hash
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
            beside=self._beside,
            curves=curves,
        )

    def _walk(self, rollout: Document, canary: Pod) -> tuple[str, str]:
        """Take step after step; the release's verdict and its reason."""
        steps = canary_steps(rollout)
        gate = Gate(self._stage, rollout, self._overlay.documents, canary, self._pace, self._view)
        weight = 0
        try:
            for number, step in enumerate(steps):
                gate.reach(number, weight)
                if isinstance(step, SetWeight):
                    weight = step.weight
                    self._stage.set_weight(weight)
                elif isinstance(step, AnalysisStep):
                    if ended := self._ended(self._ask(gate, step, weight), weight):
                        return ended
                elif isinstance(step, Pause):
                    if step.seconds is None:
                        return UNDECIDED, f"at {weight} %: the ladder waits for a person"
                    time.sleep(step.seconds)
                elif not isinstance(step, SetCanaryScale):
                    raise RefusedError(f"canary step {number}: {type(step).__name__} is not played")
            return PROMOTED, "every step passed"
        finally:
            self._beside = gate.close()

    def _ended(self, judgement: Judgement, weight: int) -> tuple[str, str] | None:
        """The release's verdict and reason when a step ends it, None when it goes on."""
        canary = self._stage.canary
        if canary and not canary.process.alive:
            return ABORTED, f"at {weight} %: {self._stage.broken()}"
        if broken := self._stage.broken():
            return UNDECIDED, f"at {weight} %: {broken}"
        if judgement.action is Action.ADVANCE:
            return None
        verdict = ABORTED if judgement.action is Action.ABORT else UNDECIDED
        return verdict, f"at {weight} %: {judgement.reason}"

    def _ask(self, gate: Gate, step: AnalysisStep, weight: int) -> Judgement:
        analysis = gate.analysis(step, weight)
        self._test = _error_test(analysis) or self._test
        outcome, judgement = gate.ask(analysis, weight)
        self._steps.append(outcome)
        self._view.step(outcome)
        return judgement


def _error_test(analysis: Analysis) -> Test | None:
    """The sequential test of errors, whose course the report draws."""
    for metric in analysis.metrics:
        if metric.name == "error-sprt":
            return Test(
                metric.query,
                float(analysis.arguments["error-accept-at"]),
                float(analysis.arguments["error-reject-at"]),
            )
    return None


def find_rollout(documents: list[Document]) -> Document:
    """The one Rollout of an overlay; PodError when there is none or more."""
    rollouts = [document for document in documents if document["kind"] == "Rollout"]
    if len(rollouts) != 1:
        raise PodError(f"the overlay renders {len(rollouts)} Rollouts; a play needs one")
    return rollouts[0]
