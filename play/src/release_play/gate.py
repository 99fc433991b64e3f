"""Asks the gate: an analysis of a step, and the one in the background beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass

from canary_gate import (
    Action,
    Analysis,
    AnalysisResult,
    AnalysisRun,
    AnalysisStep,
    AnalysisTemplate,
    BackgroundAnalysis,
    Measurement,
    PrometheusProvider,
    background_analysis,
    load_templates,
    resolve_arguments,
    rollout_action,
    step_analysis,
)

from release_play.jobs import LocalJobs
from release_play.outcome import MeasurementOutcome, MetricOutcome, StepOutcome
from release_play.pace import Pace
from release_play.pods import Document, Pod
from release_play.route import Route
from release_play.stage import Stage
from release_play.view import View

LONGEST_NAP = 0.5


@dataclass(frozen=True)
class Judgement:
    """What the Rollout does after a step, and why; None where the stage broke before."""

    action: Action | None
    reason: str


class Gate:
    """The analyses of one release, with the arguments that its Rollout and the pace give."""

    def __init__(
        self,
        stage: Stage,
        rollout: Document,
        documents: list[Document],
        canary: Pod,
        pace: Pace,
        view: View,
    ):
        self._stage, self._rollout, self._canary = stage, rollout, canary
        self._pace, self._view = pace, view
        self._templates: Mapping[str, AnalysisTemplate] = load_templates(documents)
        self._background: BackgroundAnalysis | None = background_analysis(rollout)
        self._beside: AnalysisRun | None = None
        self._latest: dict[str, str] = {}
        namespace = rollout["metadata"]["namespace"]
        self._jobs = LocalJobs(
            stage.group, stage.folder, stage.node, namespace, documents, canary.pod_template_hash
        )
        self._route = Route(lambda: stage.traffic.split)
        self._prometheus = PrometheusProvider(stage.prometheus.address, timeout=5.0)

    def close(self) -> list[MetricOutcome]:
        """End what still runs; what the background saw."""
        if self._beside:
            self._beside.terminate()
        self._prometheus.close()
        self._route.close()
        return metric_outcomes(self._beside.result()) if self._beside else []

    def reach(self, step: int, weight: int) -> None:
        """Begin with the background analysis where the ladder has come to its first step."""
        if self._background and self._beside is None and step >= self._background.starting_step:
            self._beside = self._run(self.analysis(self._background.analysis, weight))

    def analysis(self, step: AnalysisStep, weight: int) -> Analysis:
        """An analysis of the Rollout, made as short as the pace."""
        given = resolve_arguments(
            step,
            self._rollout,
            canary_hash=self._canary.pod_template_hash,
            stable_hash=self._stage.stable.pod_template_hash,
        )
        arguments = {**given, **self._pace.arguments(weight), **self._addresses(weight)}
        return step_analysis(step, self._templates, arguments)

    def _addresses(self, weight: int) -> dict[str, str]:
        """Where its jobs ask: the canary, and from the first weight on the route to both sides."""
        canary = self._canary.base_url
        return {
            "canary-service": canary.removeprefix("http://"),
            "load-url": self._route.address if weight else canary,
            "load-host": "",
        }

    def ask(self, analysis: Analysis, weight: int) -> tuple[StepOutcome, Judgement]:
        """Measure until the Rollout does something, or the stage breaks."""
        began, self._latest = time.time(), {}
        run, beside = self._run(analysis), self._beside
        action = None
        while action is None and not self._stage.broken():
            run.reconcile()
            looks = [run.next_look]
            if beside and not beside.phase.completed:
                beside.reconcile()
                looks.append(beside.next_look)
            action = rollout_action(run.phase, beside.phase if beside else None)
            if action is None:
                self._nap(min(looks) - time.time(), weight, began)
        run.terminate()
        result = run.result()
        outcome = StepOutcome(weight, result.verdict.value, metric_outcomes(result))
        return outcome, Judgement(action, self._reason(action, result))

    def _run(self, analysis: Analysis) -> AnalysisRun:
        return AnalysisRun(
            analysis, self._prometheus, jobs=self._jobs, clock=time.time, on_measurement=self._tell
        )

    def _tell(self, measurement: Measurement) -> None:
        self._latest[measurement.metric] = f"{measurement.metric} {shown(measurement)}"

    def _nap(self, seconds: float, weight: int, began: float) -> None:
        sent = self._stage.traffic.tally.requests["canary"]
        progress = f"{weight} %, {time.time() - began:.0f} s, canary {sent} requests"
        self._view.now(" · ".join([progress, *self._latest.values()]))
        self._jobs.advance()
        time.sleep(max(0.0, min(seconds, LONGEST_NAP)))

    def _reason(self, action: Action | None, result: AnalysisResult) -> str:
        """The message of the run that the Rollout follows, and the value that decided it."""
        if self._beside and Action.of(result.phase) is not action:
            beside = self._beside.result()
            return f"in the background: {beside.message}{_last_value(beside)}"
        return f"{result.message}{_last_value(result)}"


def metric_outcomes(result: AnalysisResult) -> list[MetricOutcome]:
    """Every metric of an analysis as the report shows it."""
    return [
        MetricOutcome(
            metric.name,
            metric.verdict.value,
            [MeasurementOutcome(m.at, shown(m), m.phase.value) for m in metric.measurements],
        )
        for metric in result.metrics
    ]


def shown(measurement: Measurement) -> str:
    """A measurement's value for a person: its numbers, or what there is instead."""
    value = measurement.value
    if value is None:
        return measurement.message or "no answer"
    numbers = value if isinstance(value, list) else [value]
    return ", ".join(f"{number:.4g}" for number in numbers) or "no data"


def _last_value(result: AnalysisResult) -> str:
    """The value that decided, for the metric that the message begins with."""
    for metric in result.metrics:
        if result.message.startswith(f'Metric "{metric.name}" ') and metric.measurements:
            last = metric.measurements[-1]
            return "" if last.value is None else f", last value {shown(last)}"
    return ""
