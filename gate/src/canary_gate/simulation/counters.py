"""Counters of a version's pods as Prometheus has them: scraped, now and then lost."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

#: Arrays of floats, booleans and whole numbers; numpy types what operators give too loosely.
Array = npt.NDArray[Any]
Mask = npt.NDArray[Any]
Numbers = npt.NDArray[Any]

#: Seconds between two scrapes of a pod.
SCRAPE_SECONDS = 15.0

#: What is counted: requests, 5xx, slower than 0.5 s, slower than 1 s.
COUNTERS = ("requests", "errors", "slow_500ms", "slow_1s")
REQUESTS, ERRORS, SLOW_500MS, SLOW_1S = range(4)


@dataclass(frozen=True)
class Pods:
    """Counters of one version's pods around a step that begins at 0 s.

    Scrape `i` of a pod is at `(i - before) * 15 + phase` seconds. `values` is
    [scrape, counter, pod, release]; `seen` is [scrape, pod, release]: whether the pod lived
    and was scraped (a failed scrape leaves a stale marker). `phase` is [pod, release], in
    [0, 15).
    """

    before: int
    phase: Array
    values: Array
    seen: Mask
    _bridged: dict[int, tuple[Array, Mask]] = field(default_factory=dict, init=False, compare=False)

    @property
    def scrapes(self) -> int:
        """Number of scrapes that are known."""
        return len(self.values)

    def of(self, releases: Numbers) -> "Pods":
        """The pods of some of the releases."""
        return Pods(
            self.before,
            self.phase[..., releases],
            self.values[..., releases],
            self.seen[..., releases],
        )

    def bridged(self, window: float) -> tuple[Array, Mask]:
        """What `last_over_time(x[window])` gives from each scrape to the next: values, presence.

        `window` is a multiple of 15 s; with 15 s itself it is what an instant selector gives,
        which a stale marker hides.
        """
        reach = round(window / SCRAPE_SECONDS)
        if reach not in self._bridged:
            self._bridged[reach] = self._filled(reach)
        return self._bridged[reach]

    def _filled(self, reach: int) -> tuple[Array, Mask]:
        if self.seen.all():
            return self.values, self.seen
        number = np.arange(self.scrapes)[:, None, None]
        latest = np.maximum.accumulate(np.where(self.seen, number, -1), axis=0)
        known = (latest >= 0) & (number - latest < reach)
        if (known == self.seen).all():
            return self.values, self.seen
        index = np.maximum(latest, 0)[:, None]
        return np.take_along_axis(self.values, index, axis=0), known

    def index(self, at: float) -> Numbers:
        """Number of the scrape at or before a time, [pod, release]."""
        whole, rest = divmod(at, SCRAPE_SECONDS)
        return self.before + int(whole) - (self.phase > rest).astype(np.int64)

    def at(self, when: float, window: float) -> tuple[Array, Mask]:
        """`last_over_time(x[window])` at a time: values [counter, pod, release], and presence."""
        return taken(self.bridged(window), self.index(when))

    def around(self, start: Array) -> "Pods":
        """The same pods around a step that begins at these times, one for each release."""
        whole, rest = np.divmod(start, SCRAPE_SECONDS)
        before = self.before + int(whole.max(initial=0)) + 1
        early = self.phase < rest
        shift = self.before - before + whole.astype(np.int64) + early
        index = np.arange(before)[:, None, None] + shift
        known = index >= 0
        index = np.maximum(index, 0)
        return Pods(
            before,
            self.phase - rest + np.where(early, SCRAPE_SECONDS, 0.0),
            np.take_along_axis(self.values, index[:, None], axis=0),
            np.take_along_axis(self.seen, index, axis=0) & known,
        )

    def beside(self, others: "Pods") -> "Pods":
        """These pods and others of the same releases and scrapes."""
        return Pods(
            self.before,
            np.concatenate([self.phase, others.phase]),
            np.concatenate([self.values, others.values], axis=2),
            np.concatenate([self.seen, others.seen], axis=1),
        )


def some(mask: Mask, axis: int = 0) -> Mask:
    """Whether anything along an axis is true."""
    return np.asarray(mask.any(axis=axis))


def taken(series: tuple[Array, Mask], index: Numbers) -> tuple[Array, Mask]:
    """Values and presence at one index of the first axis for each pod and release."""
    values, known = series
    low, high = (int(index.min()), int(index.max())) if index.size else (0, 0)
    if low >= 0 and high < len(values) and high - low <= 1:
        if low == high:
            return values[low], known[low]
        late = index == high
        return np.where(late, values[high], values[low]), np.where(late, known[high], known[low])
    inside = np.clip(index, 0, len(values) - 1)
    found = np.take_along_axis(known, inside[None], axis=0)[0] & (index == inside)
    at = inside[None, None] if values.ndim == 4 else inside[None]
    return np.take_along_axis(values, at, axis=0)[0], found
