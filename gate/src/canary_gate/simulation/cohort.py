"""Releases on their way through a ladder: their pods, and the load that a weight puts on them."""

from dataclasses import dataclass, replace

import numpy as np

from canary_gate.simulation.counters import SCRAPE_SECONDS, Array, Numbers, Pods
from canary_gate.simulation.scenario import Rates, Scenario
from canary_gate.simulation.step import Step
from canary_gate.simulation.traffic import (
    COLD_SECONDS,
    Load,
    Spell,
    continued,
    new_pods,
    old_pods,
)

#: Pods of the canary at each weight, and of stable.
CANARY_PODS = {10: 1, 50: 3}
STABLE_PODS = 3
#: Scrapes of stable before the first step, and of the canary between its birth and that step.
SCRAPES_BEFORE, SCRAPES_IDLE = 40, 8
#: Seconds within which a shared outage lies: the default ladder without delay.
LADDER_SECONDS = 1200.0


@dataclass(frozen=True)
class Cohort:
    """Releases of one scenario that go through a ladder together, up to a step's beginning.

    `weight` is the traffic in percent that the canary has had. `started` and `outage` are
    seconds after the ladder began: when the step begins, and when a shared outage does.
    """

    scenario: Scenario
    releases: Numbers
    weight: int
    started: Array
    outage: Array
    grid: Array
    canary: Pods
    stable: Pods

    def of(self, chosen: Numbers) -> "Cohort":
        """Some of the releases, by their place in the cohort."""
        return replace(
            self,
            releases=self.releases[chosen],
            started=self.started[chosen],
            outage=self.outage[chosen],
            grid=self.grid[chosen],
            canary=self.canary.of(chosen),
            stable=self.stable.of(chosen),
        )

    def after(self, weight: int, seconds: Array) -> "Cohort":
        """The cohort when its step at this weight has ended, after seconds of each release."""
        return replace(
            self,
            weight=weight,
            started=self.started + seconds,
            grid=(self.grid - seconds) % SCRAPE_SECONDS,
            canary=self.canary.around(seconds),
            stable=self.stable.around(seconds),
        )


def begun(scenario: Scenario, releases: int, rng: np.random.Generator) -> Cohort:
    """Releases whose canary is ready and has no traffic yet."""
    length = scenario.outage.seconds if scenario.outage else 0.0
    outage = rng.uniform(0, LADDER_SECONDS - length, releases)
    load = stable_load(scenario, 0, 0, -outage)
    return Cohort(
        scenario=scenario,
        releases=np.arange(releases),
        weight=0,
        started=np.zeros(releases),
        outage=outage,
        grid=rng.uniform(0, SCRAPE_SECONDS, releases),
        canary=new_pods(rng, releases, CANARY_PODS[10], SCRAPES_BEFORE, SCRAPES_IDLE),
        stable=old_pods(rng, load, releases, SCRAPES_BEFORE),
    )


def advanced(cohort: Cohort, weight: int, scrapes: int, rng: np.random.Generator) -> Cohort:
    """The cohort with `scrapes` more scrapes of a step at this weight, new pods included."""
    outage = cohort.outage - cohort.started
    canary, more = cohort.canary, CANARY_PODS[weight] - len(cohort.canary.phase)
    old = CANARY_PODS.get(cohort.weight, CANARY_PODS[10])
    if more:
        canary = canary.beside(new_pods(rng, len(outage), more, canary.scrapes, 0))
    loads = (
        canary_load(cohort.scenario, cohort.weight, weight, old, outage),
        stable_load(cohort.scenario, cohort.weight, weight, outage),
    )
    return replace(
        cohort,
        canary=continued(rng, canary, loads[0], scrapes),
        stable=continued(rng, cohort.stable, loads[1], scrapes),
    )


def observed(cohort: Cohort, rng: np.random.Generator) -> Step:
    """What Prometheus has of the cohort's step."""
    canary = cohort.canary
    if cohort.scenario.counted == "missing":
        canary = replace(canary, seen=np.zeros_like(canary.seen))
    elif cohort.scenario.counted == "nan":
        canary = replace(canary, values=np.full_like(canary.values, np.nan))
    return Step(canary, cohort.stable, cohort.grid, rng, cohort.scenario.shift)


def stable_load(scenario: Scenario, before: int, weight: int, outage: Array) -> Load:
    """Load of stable's pods when the canary's weight changes from `before`."""

    def rates(canary: int) -> list[float]:
        return [10 * scenario.canary_rps * (1 - canary / 100) / STABLE_PODS] * STABLE_PODS

    return Load(
        before=rates(before),
        after=rates(weight),
        rates=scenario.stable,
        spells=_outages(scenario, scenario.stable, outage),
        correlation=scenario.correlation,
        lost_scrapes=scenario.lost_scrapes,
    )


def canary_load(scenario: Scenario, before: int, weight: int, old: int, outage: Array) -> Load:
    """Load of the canary's pods, the first `old` of which had the traffic of `before`."""
    pods = CANARY_PODS[weight]
    total = 10 * scenario.canary_rps if scenario.canary_traffic else 0.0
    rates, onset = scenario.canary, scenario.onset
    spells = _outages(scenario, rates, outage)
    if onset and weight <= onset.weight:
        rates = scenario.stable
        spells = [Spell(onset.seconds, np.inf, scenario.canary)] if weight == onset.weight else []
    if scenario.cold_slow:
        cold = replace(rates, slow_500ms=scenario.cold_slow, slow_1s=scenario.cold_slow)
        newborn = np.arange(pods)[:, None] >= (old if before else 0)
        spells = [*spells, Spell(0.0, np.where(newborn, COLD_SECONDS, 0.0), cold)]
    return Load(
        before=[total * before / 100 / old] * old + [0.0] * (pods - old),
        after=[total * weight / 100 / pods] * pods,
        rates=rates,
        spells=spells,
        correlation=scenario.correlation,
        lost_scrapes=scenario.lost_scrapes,
    )


def _outages(scenario: Scenario, rates: Rates, start: Array) -> list[Spell]:
    if scenario.outage is None:
        return []
    worse = replace(rates, errors=max(rates.errors, scenario.outage.errors))
    return [Spell(start, start + scenario.outage.seconds, worse)]
