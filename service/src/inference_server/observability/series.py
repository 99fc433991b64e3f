"""Metrics and their series: each some float64 slots that are added to."""

from bisect import bisect_left
from collections.abc import Sequence
from typing import Literal, NamedTuple


class Family(NamedTuple):
    """A metric: what its series have in common; a gauge's workers meet by `merge`."""

    name: str
    text: str
    kind: Literal["counter", "gauge", "histogram"]
    labels: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    merge: Literal["sum", "max", "min"] = "sum"

    @property
    def size(self) -> int:
        """Slots of one series: a histogram's buckets, the one above all edges, and its sum."""
        return len(self.edges) + 2 if self.kind == "histogram" else 1


Key = tuple[str, tuple[str, ...]]


class Series:
    """The slots of one series. `slots[i] += n` is one step for every thread of CPython: it
    switches threads at calls and backward jumps only."""

    __slots__ = ("_at", "_family", "_slots")

    def __init__(self, family: Family, slots: "memoryview[float]", at: int) -> None:
        self._family = family
        self._slots = slots
        self._at = at

    @property
    def values(self) -> list[float]:
        """What the slots hold."""
        return floats(self._slots, self._at, self._family.size)

    def end(self, nowhere: "memoryview[float]") -> None:
        """Zero the slots and let go of them: whoever still counts here counts into nothing."""
        slots, at, self._slots = self._slots, self._at, nowhere
        slots[at : at + self._family.size] = memoryview(bytes(8 * self._family.size)).cast("d")


class Counter(Series):
    """A number that only grows."""

    __slots__ = ()

    def inc(self, amount: float = 1) -> None:
        """Count `amount` more."""
        self._slots[self._at] += amount


class Gauge(Counter):
    """A number that goes up and down."""

    __slots__ = ()

    def dec(self, amount: float = 1) -> None:
        """Count `amount` less."""
        self._slots[self._at] -= amount

    def set(self, value: float) -> None:
        """Be this value."""
        self._slots[self._at] = value


class Histogram(Series):
    """Counts of values up to each edge, and their sum."""

    __slots__ = ("_edges", "_sum")

    def __init__(self, family: Family, slots: "memoryview[float]", at: int) -> None:
        super().__init__(family, slots, at)
        self._edges = family.edges
        self._sum = at + len(family.edges) + 1

    def observe(self, value: float) -> int:
        """Count one value (no NaN); the index of its bucket."""
        bucket = bisect_left(self._edges, value)
        self._slots[self._at + bucket] += 1
        self._slots[self._sum] += value
        return bucket

    def add(self, counts: Sequence[int], total: float) -> None:
        """Count many values: so many per bucket, and their sum."""
        for bucket, count in enumerate(counts):
            if count:
                self._slots[self._at + bucket] += count
        self._slots[self._sum] += total


def floats(slots: "memoryview[float]", at: int, size: int) -> list[float]:
    """A copy of some slots."""
    return list(map(float, slots[at : at + size]))
