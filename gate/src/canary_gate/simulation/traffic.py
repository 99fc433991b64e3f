"""Draws what pods count: Poisson requests, their errors and slowness, in scrapes of 15 s."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import stats

from canary_gate.simulation.counters import COUNTERS, SCRAPE_SECONDS, Array, Numbers, Pods
from canary_gate.simulation.scenario import Rates

#: Requests of one burst; their errors are correlated.
BURST = 20
#: Seconds after its first request in which a new pod is cold.
COLD_SECONDS = 30.0
#: An old pod has counted for this long when the simulation begins.
OLD_SECONDS = 3600.0


@dataclass(frozen=True)
class Spell:
    """A time, in seconds after the step begins, with other rates.

    The times are of all, of each release or [pod, release].
    """

    start: float | Array
    end: float | Array
    rates: Rates


@dataclass(frozen=True)
class Load:
    """One version's load around a step: requests a second of each pod, and their rates."""

    before: Sequence[float]
    after: Sequence[float]
    rates: Rates
    spells: Sequence[Spell] = ()
    correlation: float | None = None
    lost_scrapes: float = 0.0

    def of(self, releases: Numbers) -> "Load":
        """The load of some of the releases."""
        spells = [
            replace(spell, start=_of(spell.start, releases), end=_of(spell.end, releases))
            for spell in self.spells
        ]
        return replace(self, spells=spells)


def _of(value: float | Array, releases: Numbers) -> float | Array:
    return value[..., releases] if isinstance(value, np.ndarray) else value


def old_pods(rng: np.random.Generator, load: Load, releases: int, before: int) -> Pods:
    """Pods that have lived long, over `before` scrapes until the step begins."""
    phase = rng.uniform(0, SCRAPE_SECONDS, (len(load.before), releases))
    fractions = (1.0, load.rates.errors, load.rates.slow_500ms, load.rates.slow_1s)
    counted = np.rint(OLD_SECONDS * np.outer(fractions, load.before))
    empty = Pods(
        before=before,
        phase=phase,
        values=np.zeros((0, len(COUNTERS), *phase.shape)),
        seen=np.zeros((0, *phase.shape), bool),
    )
    begun = np.broadcast_to(counted[:, :, None], (len(COUNTERS), *phase.shape))
    return _drawn(rng, empty, load, before, begun)


def new_pods(rng: np.random.Generator, releases: int, pods: int, before: int, age: int) -> Pods:
    """Pods without a request yet, born `age` scrapes before the step begins."""
    phase = rng.uniform(0, SCRAPE_SECONDS, (pods, releases))
    seen = np.zeros((before, *phase.shape), bool)
    seen[before - age :] = True
    values = np.zeros((before, len(COUNTERS), *phase.shape))
    return Pods(before=before, phase=phase, values=values, seen=seen)


def continued(rng: np.random.Generator, pods: Pods, load: Load, scrapes: int) -> Pods:
    """The same pods some scrapes later."""
    return _drawn(rng, pods, load, scrapes, pods.values[-1])


def _drawn(rng: np.random.Generator, pods: Pods, load: Load, scrapes: int, begun: Array) -> Pods:
    first = pods.scrapes - pods.before
    numbers = np.arange(first, first + scrapes)[:, None, None]
    added = _increments(rng, numbers * SCRAPE_SECONDS + pods.phase, load)
    seen = rng.random((scrapes, *pods.phase.shape)) >= load.lost_scrapes
    np.cumsum(added, axis=0, out=added)
    added += begun
    return replace(
        pods,
        values=np.concatenate([pods.values, added]),
        seen=np.concatenate([pods.seen, seen]),
    )


def _increments(rng: np.random.Generator, ends: Array, load: Load) -> Array:
    """What is counted in the 15 s until each end, [scrape, counter, pod, release]."""
    every = _requests(load, ends, -np.inf, np.inf)
    errors, slow, slower = (every * fraction for fraction in _exclusive(load.rates))
    for spell in load.spells:
        within = _requests(load, ends, spell.start, spell.end)
        pairs = zip(_exclusive(spell.rates), _exclusive(load.rates), strict=True)
        more = [within * (there - here) for there, here in pairs]
        errors, slow, slower = errors + more[0], slow + more[1], slower + more[2]
    if load.correlation is not None:
        return _bursts(rng, every, load)
    # Poisson counts of kinds that exclude each other are independent.
    counted = [rng.poisson(mean) for mean in (every - errors - slow - slower, errors, slow, slower)]
    fine, failed, late, later = counted
    return np.stack(
        [fine + failed + late + later, failed, late + later, later], axis=1, dtype=float
    )


def _exclusive(rates: Rates) -> tuple[float, float, float]:
    """Fractions that fail, that take 0.5 to 1 s, that take longer: no request is two of these."""
    return rates.errors, rates.slow_500ms - rates.slow_1s, rates.slow_1s


def _requests(load: Load, ends: Array, start: float | Array, end: float | Array) -> Array:
    """Expected requests in the 15 s until each end that fall between start and end."""
    begins = ends - SCRAPE_SECONDS
    until = np.minimum(ends, end)
    since = np.maximum(begins, start)
    early = np.clip(np.minimum(until, 0.0) - since, 0.0, None)
    late = np.clip(until - np.maximum(since, 0.0), 0.0, None)
    return np.asarray(early * _column(load.before) + late * _column(load.after))


def _column(rates: Sequence[float]) -> Array:
    return np.asarray(rates)[:, None]


def _bursts(rng: np.random.Generator, requests: Array, load: Load) -> Array:
    """Whole bursts; the errors of one follow a beta-binomial distribution of this correlation."""
    bursts = rng.poisson(requests / BURST)
    chances = burst_errors(load.rates.errors, load.correlation or 0.0)
    # Few bursts have an error: draw how many do, then how many errors each of these has.
    some = rng.binomial(bursts, 1 - chances[0])
    place = np.repeat(np.arange(some.size), some.ravel())
    ladder = np.cumsum(chances[1:]) / (1 - chances[0])
    sizes = np.minimum(1 + np.searchsorted(ladder, rng.random(len(place)), side="right"), BURST)
    errors = np.bincount(place, weights=sizes, minlength=some.size).reshape(some.shape)
    _, between, beyond = _exclusive(load.rates)
    others = BURST * bursts - errors.astype(np.int64)
    slow = rng.binomial(others, between)
    slower = rng.binomial(others - slow, beyond / (1 - between))
    counted = [BURST * bursts, errors, slow + slower, slower]
    return np.stack(counted, axis=1, dtype=float)


@lru_cache
def burst_errors(rate: float, correlation: float) -> Array:
    """Chances of 0, 1, ... errors in a burst: the design effect is 1 + (20 - 1) correlation."""
    errors = np.arange(BURST + 1)
    if correlation == 0:
        return np.asarray(stats.binom.pmf(errors, BURST, rate))
    if correlation == 1:
        return np.where(errors == 0, 1 - rate, np.where(errors == BURST, rate, 0.0))
    weight = (1 - correlation) / correlation
    return np.asarray(stats.betabinom.pmf(errors, BURST, rate * weight, (1 - rate) * weight))
