"""Releases through a ladder: every step is drawn and judged until each release has its verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from canary_gate.analysis import Analysis
from canary_gate.simulation.cohort import Cohort, advanced, begun, observed
from canary_gate.simulation.conditions import SUCCESSFUL
from canary_gate.simulation.counters import Array, Mask, Numbers
from canary_gate.simulation.judging import Judged, judged
from canary_gate.simulation.rivals import RIVALS
from canary_gate.simulation.scenario import Scenario
from canary_gate.simulation.step import Step

#: Scrapes of a step until most analyses have ended, and until every one has.
SCRAPES_USUAL, SCRAPES_ALL = 42, 140


@dataclass(frozen=True)
class StepOutcome:
    """What a step came to for some of the releases; `started`: seconds after the ladder began.

    `step` is what they were judged by, together with releases that take longer: `places` are
    theirs in it. `rivals` says, at the first step, which of them the other gates abort.
    """

    weight: int
    releases: Numbers
    started: Array
    judged: Judged
    step: Step
    places: Numbers
    rivals: Mapping[str, Mask]

    @property
    def first(self) -> bool:
        """Whether this is the first step."""
        return bool(self.rivals)


def outcomes(
    scenario: Scenario,
    steps: Sequence[tuple[int, Analysis]],
    releases: int,
    rng: np.random.Generator,
) -> Iterator[StepOutcome]:
    """Send releases through the steps, pairs of a weight and its analysis.

    A release goes to the next step when its run has passed. Releases that take longer than
    most are judged apart.
    """
    yield from _walk(begun(scenario, releases, rng), steps, rng)


def _walk(
    cohort: Cohort, steps: Sequence[tuple[int, Analysis]], rng: np.random.Generator
) -> Iterator[StepOutcome]:
    if not steps or not len(cohort.releases):
        return
    weight, analysis = steps[0]
    scrapes = SCRAPES_USUAL
    while len(cohort.releases):
        cohort = advanced(cohort, weight, scrapes, rng)
        step = observed(cohort, rng)
        known = judged(analysis, step, cohort.scenario.away)
        ended = np.isfinite(known.run.at)
        if not ended.all() and scrapes != SCRAPES_USUAL:
            raise AssertionError(f"a run at {weight} % goes on beyond {SCRAPES_ALL} scrapes")
        done = np.flatnonzero(ended)
        part = known.of(done)
        rivals = (
            {} if cohort.weight else {name: aborts(step)[done] for name, aborts in RIVALS.items()}
        )
        yield StepOutcome(
            weight, cohort.releases[done], cohort.started[done], part, step, done, rivals
        )
        passed = np.flatnonzero(part.run.phase == SUCCESSFUL)
        on = cohort.of(done[passed]).after(weight, part.run.at[passed])
        yield from _walk(on, steps[1:], rng)
        cohort, scrapes = cohort.of(np.flatnonzero(~ended)), SCRAPES_ALL - SCRAPES_USUAL
