"""Cells: what a number of releases of one scenario came to, by the whole ladder and by template."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from canary_gate.analysis import Analysis
from canary_gate.simulation.conditions import ERROR, FAILED, INCONCLUSIVE, SUCCESSFUL
from canary_gate.simulation.counters import Array, Numbers
from canary_gate.simulation.judging import LACKS, NO_DATA, OUTAGE, PROVIDER, SAMPLE, Judged
from canary_gate.simulation.ladder import StepOutcome, outcomes
from canary_gate.simulation.rivals import RIVALS
from canary_gate.simulation.scenario import Scenario

#: Releases that are drawn at once: what fits the processor's cache.
CHUNK = 2_000


@dataclass(frozen=True)
class Spread:
    """A quantity over the releases that have it; None throughout where none has.

    The 95 % interval of the mean reaches `margin` to both sides.
    """

    mean: float | None
    margin: float | None
    p99: float | None
    p999: float | None
    largest: float | None

    @classmethod
    def of(cls, values: Array) -> "Spread":
        """The spread of some values."""
        if not len(values):
            return cls(None, None, None, None, None)
        p99, p999 = (float(p) for p in np.quantile(values, (0.99, 0.999), method="higher"))
        margin = 1.96 * float(values.std()) / len(values) ** 0.5
        return cls(float(values.mean()), margin, p99, p999, float(values.max()))


@dataclass(frozen=True)
class Cell:
    """Releases of one scenario, judged by the ladder, or at its first step by something alone.

    That is a template, or another gate (see `rivals`). Where the run ended before a template
    did, its release is missing from the template's three counts.
    `seconds` and `requests` run from the release's beginning, or its fault's, to the verdict;
    releases that ended before their fault have none. Requests are the expected ones of that
    time. `aborted_at` counts aborts by weight, `undecided_for` undecided releases by what the
    deciding looks lacked, an outage before all else. `why` counts what decided about releases that
    were not promoted: (template, reason), where reason is `fail`, `error` or what the deciding
    look lacked (`sample`, `no data`, `outage`, `provider`).
    """

    scenario: str
    template: str
    canary_rps: float
    releases: int
    aborted: int
    undecided: int
    promoted: int
    requests: Spread
    seconds: Spread
    aborted_at: Mapping[int, int]
    undecided_for: Mapping[str, int]
    why: Mapping[tuple[str, str], int]


def simulate(
    scenario: Scenario, steps: Sequence[tuple[int, Analysis]], releases: int, seed: int
) -> tuple[Cell, ...]:
    """Send releases through the steps; the first cell is the ladder's, the others the templates'.

    The same seed gives the same releases, whatever is drawn beside them.
    """
    sequences = np.random.SeedSequence(seed).spawn(-(-releases // CHUNK))
    tally = _Tally(scenario)
    for number, sequence in enumerate(sequences):
        count = min(CHUNK, releases - number * CHUNK)
        for outcome in outcomes(scenario, steps, count, np.random.default_rng(sequence)):
            tally.add(outcome, last=outcome.weight == steps[-1][0])
    names = ["ladder", *(metric.name for metric in steps[0][1].metrics), *RIVALS]
    return tuple(tally.cell(name, releases) for name in names)


class _Tally:
    """Counts over the chunks of one scenario."""

    def __init__(self, scenario: Scenario) -> None:
        self._scenario = scenario
        self._phases: Counter[tuple[str, int]] = Counter()
        self._aborted_at: Counter[int] = Counter()
        self._undecided_for: Counter[str] = Counter()
        self._why: dict[str, Counter[tuple[str, str]]] = {}
        self._times: dict[str, list[tuple[Array, Array]]] = {}

    def add(self, outcome: StepOutcome, *, last: bool) -> None:
        """Count what a step came to."""
        run = outcome.judged.run
        ended = np.flatnonzero((run.phase != SUCCESSFUL) | last)
        self._count("ladder", run.phase[ended])
        self._aborted_at[outcome.weight] += int((run.phase >= ERROR).sum())
        self._undecided_for.update(_undecided_for(outcome.judged))
        self._time("ladder", outcome, ended, run.at)
        for number, (name, end) in enumerate(outcome.judged.ends.items()):
            decided = run.decided[number] & (run.phase != SUCCESSFUL)
            self._explain("ladder", name, outcome, decided)
            if outcome.first:
                own = np.flatnonzero(np.isfinite(end.at))
                self._count(name, end.phase[own])
                self._time(name, outcome, own, end.at)
                self._explain(name, name, outcome, end.phase != SUCCESSFUL)
        for name, aborts in outcome.rivals.items():
            self._count(name, np.where(aborts, FAILED, SUCCESSFUL))

    def cell(self, name: str, releases: int) -> Cell:
        """The cell of the whole ladder, or of something alone at its first step."""
        whole = name == "ladder"
        times = self._times.get(name, [(np.zeros(0), np.zeros(0))])
        return Cell(
            scenario=self._scenario.name,
            template=name,
            canary_rps=self._scenario.canary_rps,
            releases=releases,
            aborted=self._phases[name, FAILED] + self._phases[name, ERROR],
            undecided=self._phases[name, INCONCLUSIVE],
            promoted=self._phases[name, SUCCESSFUL],
            requests=Spread.of(np.concatenate([requests for _, requests in times])),
            seconds=Spread.of(np.concatenate([seconds for seconds, _ in times])),
            aborted_at=dict(self._aborted_at) if whole else {},
            undecided_for=dict(self._undecided_for) if whole else {},
            why=dict(self._why.get(name, {})),
        )

    def _count(self, name: str, phases: Numbers) -> None:
        for phase, count in zip(*np.unique(phases, return_counts=True), strict=True):
            self._phases[name, int(phase)] += int(count)

    def _time(self, name: str, outcome: StepOutcome, chosen: Numbers, at: Array) -> None:
        rate = self._scenario.canary_rps * outcome.weight / 10
        begun, seconds = outcome.started[chosen], at[chosen]
        onset = self._scenario.onset
        if onset is None:
            earlier = begun * self._scenario.canary_rps
            found = begun + seconds, earlier + seconds * rate
        elif onset.weight == outcome.weight:
            since = seconds - onset.seconds
            found = since[since > 0], since[since > 0] * rate
        else:
            return
        self._times.setdefault(name, []).append(found)

    def _explain(self, cell: str, name: str, outcome: StepOutcome, decided: Numbers) -> None:
        phases, lacks = outcome.judged.ends[name].phase, outcome.judged.lacks[name]
        for reason, count in _reasons(phases[decided], lacks[decided]):
            self._why.setdefault(cell, Counter())[name, reason] += count


def _undecided_for(judged: Judged) -> Iterator[str]:
    """For every undecided release what it lacked: the first of these that applies."""
    undecided = judged.run.phase == INCONCLUSIVE
    lacks = np.stack(list(judged.lacks.values()))
    for number in (OUTAGE, PROVIDER, NO_DATA, SAMPLE):
        some = (judged.run.decided & (lacks == number)).any(axis=0) & undecided
        yield from [LACKS[number]] * int(some.sum())
        undecided = undecided & ~some


def _reasons(phases: Numbers, lacks: Numbers) -> Iterator[tuple[str, int]]:
    for phase, reason in ((FAILED, "fail"), (ERROR, "error")):
        if count := int((phases == phase).sum()):
            yield reason, count
    for number, reason in enumerate(LACKS):
        if count := int(((phases == INCONCLUSIVE) & (lacks == number)).sum()):
            yield reason, count
