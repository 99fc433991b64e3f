"""Numbers of several rounds: their middle and spread, ratios, limits."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Spread:
    """Median, smallest and largest of some rounds."""

    middle: float
    low: float
    high: float

    def __format__(self, style: str) -> str:
        if self.low == self.high:
            return format(self.middle, style)
        return f"{self.middle:{style}} ({self.low:{style}} to {self.high:{style}})"


def spread(values: Iterable[float]) -> Spread:
    """Return median, minimum and maximum; NaN for no values."""
    found = list(values)
    if not found:
        return Spread(math.nan, math.nan, math.nan)
    return Spread(median(found), min(found), max(found))


def ratios(ours: Sequence[float], theirs: Sequence[float]) -> Spread:
    """Return the spread of ours / theirs, round by round: what disturbs a round disturbs both."""
    return spread(a / b for a, b in zip(ours, theirs, strict=True) if b)


def best(rates: Mapping[str, Sequence[float]]) -> str:
    """Return the name with the largest median."""
    return max(rates, key=lambda name: spread(rates[name]).middle)


def least_goodput(load: float, refusal: float) -> float:
    """Share of its capacity that a server can still answer at `load` times its capacity.

    A refusal costs `refusal` of a request: 1 = goodput + (load - goodput) * refusal. One that is
    dearer than an answer excuses nothing: who lets the others wait answers his whole capacity.
    """
    if refusal >= 1:
        return 1.0
    return max(0.0, (1 - load * refusal) / (1 - refusal))


def refusal_cost(cpu: float, served: int, refused: int, cost: float) -> float:
    """Processor seconds of one refusal as a fraction of a request's, `cost`; NaN if none was."""
    if not refused or not cost:
        return math.nan
    return max(0.0, (cpu - served * cost) / refused / cost)


@dataclass(frozen=True)
class Limit:
    """A limit that was asked for, with what was measured."""

    what: str
    measured: float
    limit: float
    at_least: bool = True
    unit: str = ""
    beside: str = ""  # what it was compared with

    @property
    def holds(self) -> bool | None:
        """Whether it holds; None where nothing was measured."""
        if math.isnan(self.measured) or math.isnan(self.limit):
            return None
        return self.measured >= self.limit if self.at_least else self.measured <= self.limit

    @property
    def row(self) -> tuple[str, str, str, str]:
        """Cells of the table of limits."""
        said = {True: "met", False: "**missed**", None: "not measured"}[self.holds]
        word = "at least" if self.at_least else "at most"
        measured = "" if self.holds is None else f"{self.measured:.3g}{self.unit}"
        what = f"{self.what} ({self.beside})" if self.beside else self.what
        return what, measured, f"{word} {self.limit:.3g}{self.unit}", said
