"""How counters grew, in the ways in which the templates ask: since a moment, scrape to scrape."""

from collections.abc import Sequence

import numpy as np

from canary_gate.simulation.counters import (
    REQUESTS,
    SCRAPE_SECONDS,
    Array,
    Mask,
    Numbers,
    Pods,
    some,
    taken,
)
from canary_gate.simulation.step import Side, Step

#: The windows of the queries that bridge lost scrapes, in seconds.
MINUTE, FIVE_MINUTES = 60.0, 300.0


def largest_since(
    step: Step, side: Side, weights: Sequence[float], at: float, window: float
) -> Array:
    """Largest growth of a weighted sum of counters since any multiple of 15 s in the window.

    `max_over_time(sum((x @ end() - x) >= 0 or x @ end())[window:15s])`: a pod without a
    value at a multiple (`last_over_time(x[5m])`) counts whole; multiples at which no pod has
    one do not count.
    """
    now, alive = step.pods(side).at(at, MINUTE)
    last, points = step.last_multiple(side, at), round(window / SCRAPE_SECONDS)
    low, high = int(last.min()) - points + 1, int(last.max())
    start = max(low, 0)
    earlier, known = _weighted(step, side, weights, alive)
    number = np.arange(start, high + 1)[:, None]
    outside = (number > last) | (number <= last - points)
    outside = outside | ~known[start : high + 1]
    lowest = np.where(outside, np.inf, earlier[start : high + 1]).min(axis=0)
    whole = np.tensordot(np.asarray(weights), now, axes=(0, 0))
    return np.asarray(np.where(alive, whole, 0.0).sum(axis=0) - lowest)


def _weighted(step: Step, side: Side, weights: Sequence[float], alive: Mask) -> tuple[Array, Mask]:
    """Weighted sums over the living pods, and whether any pod is known, [multiple, release]."""
    key = (side, tuple(weights))
    if key not in step.cache:
        values, known = step.on_grid(side, FIVE_MINUTES)
        summed = sum(w * values[:, n] for n, w in enumerate(weights) if w)
        pods = np.where(known, summed, 0.0)
        step.cache[key] = pods, known.any(axis=1)
        step.cache[key, "all"] = pods.sum(axis=1), known.any(axis=1)
    if alive.all():
        return step.cache[key, "all"]
    pods, known = step.cache[key]
    return np.einsum("jpr,pr->jr", pods, alive.astype(float)), known


def largest_minute(
    step: Step, side: Side, weights: Sequence[float], at: float, window: float
) -> Array:
    """Largest growth of a weighted sum of counters within a minute before any multiple of 15 s.

    `max_over_time(sum((x - x offset 1m) >= 0 or x)[window:15s])`, where x bridges a minute
    and what it is compared with five.
    """
    key = ("minute", side, tuple(weights))
    if key not in step.cache:
        now, alive = step.on_grid(side, MINUTE)
        before, had = step.on_grid(side, FIVE_MINUTES)
        lag = round(MINUTE / SCRAPE_SECONDS)
        grown = sum(
            weight * (now[lag:, n] - np.where(had[:-lag], before[:-lag, n], 0.0))
            for n, weight in enumerate(weights)
            if weight
        )
        counted = np.where(alive[lag:], grown, 0.0).sum(axis=1)
        step.cache[key] = np.where(some(alive[lag:], axis=1), counted, -np.inf), lag
    grown, lag = step.cache[key]
    last, points = step.last_multiple(side, at) - lag, round(window / SCRAPE_SECONDS)
    start, high = max(int(last.min()) - points + 1, 0), int(last.max())
    number = np.arange(start, high + 1)[:, None]
    outside = (number > last) | (number <= last - points)
    return np.asarray(np.where(outside, -np.inf, grown[start : high + 1]).max(axis=0))


def scraped(step: Step, side: Side, at: float, window: float, reach: float) -> tuple[Array, Mask]:
    """What each scrape of the window added, births counted whole: [counter, release], presence.

    `sum(sum_over_time((x - last_over_time(x[reach] offset 15s) >= 0 or x)[window:15s]))`.
    """
    last = _last(step, side, at)
    now, known = taken(step.on_grid(side, window), last)
    before, had = taken(step.on_grid(side, reach), last - round(window / SCRAPE_SECONDS))
    grown = np.where(known, now - np.where(had, before, 0.0), 0.0)
    return grown.sum(axis=1), some(known)


def warm(step: Step, side: Side, at: float, window: float, cold_start: float) -> tuple[Array, Mask]:
    """What scrapes added to pods that had requests a cold start earlier.

    Returns [counter, pod, release] and which pods had such a scrape in the window.
    """
    series = step.on_grid(side, FIVE_MINUTES)
    key = ("warm", side, cold_start)
    if key not in step.cache:
        step.cache[key] = _first_warm(step, side, cold_start)
    begun, counts = step.cache[key]
    last = _last(step, side, at)
    since = np.maximum(begun, last - round(window / SCRAPE_SECONDS) + 1) - 1
    since = np.minimum(since, last)
    now, _ = taken(series, last)
    before, had = taken(series, since)
    counted = _count(counts, last) > _count(counts, since)
    return np.where(counted, now - np.where(had, before, 0.0), 0.0), counted


def _last(step: Step, side: Side, at: float) -> Numbers:
    return np.broadcast_to(step.last_multiple(side, at), step.pods(side).phase.shape)


def _count(counts: Numbers, index: Numbers) -> Numbers:
    inside = np.clip(index, 0, len(counts) - 1)
    return np.where(index < 0, 0, np.take_along_axis(counts, inside[None], axis=0)[0])


def _first_warm(step: Step, side: Side, cold_start: float) -> tuple[Numbers, Numbers]:
    """Index of the first multiple at which each pod counts, and how many scrapes were seen."""
    values, known = step.on_grid(side, FIVE_MINUTES)
    requests = np.where(known, values[:, REQUESTS], 0.0)
    lag = round(cold_start / SCRAPE_SECONDS)
    had = np.zeros(requests.shape, bool)
    had[lag:] = requests[: len(requests) - lag] > 0
    begun = np.where(had.any(axis=0), had.argmax(axis=0), len(had) + 1)
    _, seen = step.on_grid(side, SCRAPE_SECONDS)
    return begun, np.cumsum(seen, axis=0)


def increase(pods: Pods, at: float, window: float) -> tuple[Array, Mask]:
    """`sum(increase(x[window]))` of pods without restart: [counter, release], presence.

    Extrapolates as Prometheus does: to the window's bounds where the first and last sample are
    within 1.1 average distances, by half a distance otherwise, and never below zero.
    """
    last = pods.index(at)
    number = np.arange(pods.scrapes)[:, None, None]
    inside = pods.seen & (number <= last) & (number > last - round(window / SCRAPE_SECONDS))
    count = inside.sum(axis=0)
    first = inside.argmax(axis=0)
    final = pods.scrapes - 1 - inside[::-1].argmax(axis=0)
    begin, _ = taken((pods.values, pods.seen), first)
    end, _ = taken((pods.values, pods.seen), final)
    sampled = (final - first) * SCRAPE_SECONDS
    to_start = (first - pods.before) * SCRAPE_SECONDS + pods.phase - (at - window)
    to_end = at - (final - pods.before) * SCRAPE_SECONDS - pods.phase
    with np.errstate(all="ignore"):
        distance = sampled / (count - 1)
        grown = end - begin
        to_start = np.where(to_start >= 1.1 * distance, distance / 2, to_start)
        to_end = np.where(to_end >= 1.1 * distance, distance / 2, to_end)
        to_zero = np.where(grown > 0, sampled * begin / grown, np.inf)
        factor = (sampled + np.minimum(to_start, to_zero) + to_end) / sampled
        known = count >= 2
        increased = np.where(known, grown * factor, 0.0)
    return increased.sum(axis=1), some(known)
