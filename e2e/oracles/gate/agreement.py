"""Plays cases on both sides and says where they differ."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from canary_gate import RefusedError

from e2e.oracles.gate.case import Case, Outcome, evaluate, observed
from e2e.oracles.gate.controller import Controller, completed
from e2e.oracles.gate.scripted_prometheus import ScriptedPrometheus

#: Times a case is played again where the controller measured at other times than it should have.
REPEATS = 2


@dataclass
class Agreement:
    """How many cases were compared, what differed, and how often the machine was too slow."""

    cases: int = 0
    measurements: int = 0
    repeated: int = 0
    seconds: float = 0.0
    phases: dict[str, int] = field(default_factory=dict)
    faults: dict[str, list[str]] = field(default_factory=dict)

    @property
    def agree(self) -> int:
        """Cases in which everything is equal."""
        return self.cases - len(self.faults)


async def compare(
    cases: Sequence[Case], side: Controller, prometheus: ScriptedPrometheus, *, within: float
) -> Agreement:
    """Play cases on both sides, and again those that the controller measured off beat."""
    agreement = Agreement(cases=len(cases))
    ours = {case.name: evaluate(case, prometheus) for case in cases}
    waiting, started = list(cases), time.monotonic()
    for attempt in range(1 + REPEATS):
        theirs = await _play(waiting, f"-{attempt}", side, prometheus, within)
        off_beat = []
        for case in waiting:
            outcome = theirs[case.name]
            differences = ours[case.name].differences(outcome)
            if differences and attempt < REPEATS and _off_beat(case, ours[case.name], outcome):
                off_beat.append(case)
                continue
            _count(agreement, outcome)
            if differences:
                agreement.faults[case.name] = differences
        agreement.repeated += len(off_beat)
        waiting = off_beat
        if not waiting:
            break
    agreement.seconds = time.monotonic() - started
    return agreement


def _off_beat(case: Case, ours: Outcome, theirs: Outcome) -> bool:
    """Whether the controller measured at other times than ours, or lost a measurement.

    It takes one again where its cache is older than its last write.
    """
    if ours.reason:
        return False
    asked = sum(map(len, theirs.rounds))
    in_step = case.independent or len(case.metrics) == 1 or ours.rounds == theirs.rounds
    return asked != theirs.measured or not in_step


def _count(agreement: Agreement, outcome: Outcome) -> None:
    phase = outcome.run["phase"] + (", refused" if outcome.run.get("refused") else "")
    agreement.phases[phase] = agreement.phases.get(phase, 0) + 1
    agreement.measurements += sum(map(len, outcome.rounds))


async def _play(
    cases: Sequence[Case],
    suffix: str,
    side: Controller,
    prometheus: ScriptedPrometheus,
    within: float,
) -> Mapping[str, Outcome]:
    documents = []
    for case in cases:
        address = prometheus.play(f"theirs/{case.name}{suffix}", case.script(real_time=True))
        document = case.analysis_run(side.namespace, address)
        document["metadata"]["name"] += suffix
        documents.append(document)
    await side.create(documents)
    names = [document["metadata"]["name"] for document in documents]
    runs = await side.until("AnalysisRun", names, completed, within)
    return {
        case.name: observed(
            runs[case.name + suffix],
            prometheus.script(f"theirs/{case.name}{suffix}"),
            queries(case),
        )
        for case in cases
    }


def queries(case: Case) -> dict[str, str]:
    """Names of the metrics by their queries as the controller asks them."""
    try:
        return {metric.query: metric.name for metric in case.analysis().metrics}
    except RefusedError:
        return {one["provider"]["prometheus"]["query"]: one["name"] for one in case.metrics}
