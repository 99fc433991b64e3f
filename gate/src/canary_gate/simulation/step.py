"""One step of a release as Prometheus sees it: what a query can ask at a moment."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from canary_gate.simulation.conditions import Results
from canary_gate.simulation.counters import SCRAPE_SECONDS, Array, Mask, Numbers, Pods, some

Side = Literal["canary", "stable"]


@dataclass(frozen=True)
class Step:
    """Pods of both versions around a step that begins at 0 s.

    `grid` is, per release, the time of the first multiple of 15 s of the clock: subqueries are
    evaluated at these multiples, not at the looks. `rng` draws what is not counted by scrapes,
    of predictions that the canary has moved by `shift`. `cache` keeps what looks share.
    """

    canary: Pods
    stable: Pods
    grid: Array
    rng: np.random.Generator
    shift: float = 0.0
    cache: dict[object, tuple[Any, Any]] = field(default_factory=dict, init=False, compare=False)

    def pods(self, side: Side) -> Pods:
        """The pods of one version."""
        return self.canary if side == "canary" else self.stable

    def total(self, side: Side, at: float, window: float) -> tuple[Array, Mask]:
        """`sum(last_over_time(x[window]))`, [counter, release], and whether there is one."""
        values, known = self.pods(side).at(at, window)
        return np.where(known, values, 0.0).sum(axis=1), some(known)

    def on_grid(self, side: Side, window: float) -> tuple[Array, Mask]:
        """`last_over_time(x[window])` at the multiples of 15 s: [multiple, counter, pod, release].

        Multiple `j` is at `(j + 1 - before) * 15 + grid` seconds.
        """
        pods = self.pods(side)
        values, known = pods.bridged(window)
        key = (side, id(values))
        if key not in self.cache:
            late = pods.phase > self.grid
            self.cache[key] = (
                np.where(late, values[:-1], values[1:]),
                np.where(late, known[:-1], known[1:]),
            )
        return self.cache[key]

    def last_multiple(self, side: Side, at: float) -> Numbers:
        """Index on the grid of the last multiple of 15 s at or before a time, per release."""
        whole, rest = divmod(at, SCRAPE_SECONDS)
        return self.pods(side).before - 1 + int(whole) - (self.grid > rest).astype(np.int64)

    def any_on_grid(self, side: Side, at: float, window: float) -> Mask:
        """Whether some pod has a sample at a multiple of 15 s within the window before a time."""
        _, known = self.on_grid(side, SCRAPE_SECONDS)
        last = self.last_multiple(side, at)
        points = np.arange(round(window / SCRAPE_SECONDS))[:, None]
        index = np.maximum(last - points, 0)
        return np.asarray(known[index, :, np.arange(len(last))].any(axis=(0, 2)))


def results(samples: Sequence[tuple[Array, Mask]]) -> Results:
    """Samples in the order of the query, each with where it exists, as one result per release.

    A sample that is missing moves the later ones forward, as in the provider's answer.
    """
    values = np.stack([value for value, _ in samples])
    exists = np.stack([np.broadcast_to(where, values.shape[1:]) for _, where in samples])
    if not exists.all():
        order = np.argsort(~exists, axis=0, kind="stable")
        values = np.take_along_axis(values, order, axis=0)
    return Results(values, exists.sum(axis=0))
