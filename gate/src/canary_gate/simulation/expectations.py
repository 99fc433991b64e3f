"""What the gate is held to: scenarios, the quantity that counts, and its limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from scipy import stats

from canary_gate.simulation.cells import Cell
from canary_gate.simulation.scenario import GOOD, Onset, Outage, Rates, Scenario

Status = Literal["proven", "met", "missed", "reported"]

#: Arguments for errors that come in bursts of 20 with correlation 0.1: boundaries x 3, windows
#: at 99.9 %. A comparison of few bursts is more skewed than its variance says.
BURSTS = {
    "design-effect": "3",
    "error-z": "3.0902",
    "stable-z": "1.7321",
    "against-stable-z": "4.2649",
}


@dataclass(frozen=True)
class Limit:
    """A bound of one quantity; `least` makes it a lower one. None: reported only.

    Quantities: `aborted`, `undecided`, `promoted`, `aborted at 10 %`, `undecided for outage`
    as shares of the releases; `slowest` and `p99.9` seconds to the verdict.
    """

    quantity: str
    bound: float | None
    least: bool = False


@dataclass(frozen=True)
class Expectation:
    """A line of the requirements: its text, its scenarios, and what each is held to."""

    text: str
    scenarios: Sequence[Scenario]
    limits: Sequence[Limit]


@dataclass(frozen=True)
class Judgement:
    """One quantity of one cell beside its limit; `low` and `high` are its 95 % interval.

    A share is `proven` if its whole interval keeps the limit, `met` if the share itself does
    (or a limit of none or all is kept by every release drawn), `missed` otherwise.
    """

    text: str
    cell: Cell
    limit: Limit
    value: float
    low: float
    high: float
    status: Status


def interval(count: int, releases: int) -> tuple[float, float]:
    """Exact 95 % interval of a share (Clopper and Pearson, 1934)."""
    low = 0.0 if count == 0 else float(stats.beta.ppf(0.025, count, releases - count + 1))
    high = 1.0 if count == releases else float(stats.beta.ppf(0.975, count + 1, releases - count))
    return low, high


def judge(expectation: Expectation, cell: Cell, limit: Limit) -> Judgement:
    """Hold one quantity of a ladder's cell to its limit."""
    count = _counted(cell, limit.quantity)
    if count is None:
        seconds = cell.seconds.largest if limit.quantity == "slowest" else cell.seconds.p999
        value = low = high = float("inf") if seconds is None else seconds
    else:
        value, (low, high) = count / cell.releases, interval(count, cell.releases)
    return Judgement(
        expectation.text, cell, limit, value, low, high, _status(limit, value, low, high)
    )


def _counted(cell: Cell, quantity: str) -> int | None:
    counts: Mapping[str, int] = {
        "aborted": cell.aborted,
        "undecided": cell.undecided,
        "promoted": cell.promoted,
        "aborted at 10 %": cell.aborted_at.get(10, 0),
        "undecided for outage": cell.undecided_for.get("outage", 0),
    }
    return counts.get(quantity)


def _status(limit: Limit, value: float, low: float, high: float) -> Status:
    if limit.bound is None:
        return "reported"
    if limit.least:
        return "proven" if low >= limit.bound else "met" if value >= limit.bound else "missed"
    return "proven" if high <= limit.bound else "met" if value <= limit.bound else "missed"


def product_bound(first: Cell, second: Cell) -> float:
    """Upper 95 % bound of the chance to pass both steps, one cell for each of them alone."""
    # Each interval leaves 2.5 % above itself, so both hold together in 95 % of cases.
    passed = first.promoted, second.promoted
    cells = zip(passed, (first, second), strict=True)
    bounds = [interval(count, cell.releases)[1] for count, cell in cells]
    return bounds[0] * bounds[1]


def _at(rates: Sequence[float], name: str, canary: Rates, **more: object) -> list[Scenario]:
    stable = more.pop("stable", GOOD)
    return [Scenario(name, rps, canary, stable, **more) for rps in rates]  # type: ignore[arg-type]


def _limit_of(**bounds: float | None) -> list[Limit]:
    return [Limit(quantity.replace("_", " "), bound) for quantity, bound in bounds.items()]


def _share(percent: float) -> float:
    return percent / 100


_USUAL = (10.0, 100.0)
_STOPPED = [Limit("promoted", 0.0), Limit("p99.9", 60.0)]
_OUTAGE = [*_limit_of(aborted=0.005, promoted=0.005), Limit("undecided for outage", 0.99, True)]
_AT_LIMIT = Rates(errors=0.001), Rates(slow_500ms=0.05)
_NEVER = [Limit("promoted", 0.0)]
_FIVE = Rates(errors=0.05)


def _bursts(rates: Sequence[float], name: str, canary: Rates, correlation: float) -> list[Scenario]:
    return _at(rates, name, canary, correlation=correlation, arguments=BURSTS)


EXPECTATIONS: tuple[Expectation, ...] = (
    Expectation(
        "good: aborted at most 0.5 %, undecided at most 0.1 %",
        [
            *_at((10.0, 100.0, 1000.0), "good", GOOD),
            *_at((10.0,), "0.02 % errors", Rates(errors=0.0002), stable=Rates(errors=0.0002)),
        ],
        _limit_of(aborted=0.005, undecided=0.001),
    ),
    Expectation(
        "at the limit, as stable is: aborted at most 2.5 %",
        [
            *_at(_USUAL, "0.1 % errors", _AT_LIMIT[0], stable=_AT_LIMIT[0]),
            *_at(_USUAL, "5 % slow", _AT_LIMIT[1], stable=_AT_LIMIT[1]),
        ],
        _limit_of(aborted=0.025, undecided=None),
    ),
    Expectation(
        "bad: never promoted, aborted at 10 % weight in 99.9 %",
        [
            *_at(_USUAL, "0.5 % errors", Rates(errors=0.005)),
            *_at(_USUAL, "1 % errors", Rates(errors=0.01)),
            *_at(_USUAL, "7.5 % slow", Rates(slow_500ms=0.075)),
            *_at(_USUAL, "10 % slow", Rates(slow_500ms=0.1)),
            *_at(_USUAL, "20 % slow", Rates(slow_500ms=0.2)),
            *_at(_USUAL, "2 % above 1 s", Rates(slow_1s=0.02)),
        ],
        [Limit("promoted", 0.0), Limit("aborted at 10 %", 0.999, True)],
    ),
    Expectation(
        "6 % above 500 ms: promoted at most 0.1 %",
        _at(_USUAL, "6 % slow", Rates(slow_500ms=0.06)),
        _limit_of(promoted=0.001),
    ),
    Expectation(
        "0.2 % errors at 10/s: promoted at most 1.5 %",
        _at((10.0,), "0.2 % errors", Rates(errors=0.002)),
        _limit_of(promoted=0.015),
    ),
    Expectation(
        "0.2 % errors at 100/s: never promoted",
        _at((100.0,), "0.2 % errors", Rates(errors=0.002)),
        _NEVER,
    ),
    Expectation(
        "between the rates: reported",
        [
            *_at(_USUAL, "0.3 % errors", Rates(errors=0.003)),
            *_at((10.0,), "0.1 % errors beside 0.05 %", _AT_LIMIT[0]),
            *_at((10.0,), "5 % slow beside 3 %", _AT_LIMIT[1]),
            *_at((10.0,), "1 % above 1 s", Rates(slow_1s=0.01), stable=Rates(slow_1s=0.01)),
        ],
        _limit_of(aborted=None, undecided=None, promoted=None),
    ),
    Expectation(
        "bursts of 20, correlation 0.1, good: aborted and undecided at most 1 % each",
        _bursts(_USUAL, "bursts, good", GOOD, 0.1),
        _limit_of(aborted=0.01, undecided=0.01),
    ),
    Expectation(
        "bursts of 20, correlation 0.1, 0.5 % errors: aborted at 10 % weight in 99 %",
        _bursts(_USUAL, "bursts, 0.5 % errors", Rates(errors=0.005), 0.1),
        [Limit("promoted", 0.0), Limit("aborted at 10 %", 0.99, True)],
    ),
    Expectation(
        "bursts of 20 with more correlation, good: reported",
        [
            scenario
            for correlation in (0.3, 0.5, 1.0)
            for scenario in _bursts(_USUAL, f"bursts of {correlation}, good", GOOD, correlation)
        ],
        _limit_of(aborted=None, undecided=None),
    ),
    Expectation(
        "5 % errors at 100/s: verdict within 35 s in every release",
        _at((100.0,), "5 % errors", _FIVE),
        [Limit("promoted", 0.0), Limit("slowest", 35.0)],
    ),
    Expectation(
        "5 % errors at 100/s, 5 % of scrapes lost: verdict within 50 s in 99.9 %",
        _at((100.0,), "5 % errors, lost scrapes", _FIVE, lost_scrapes=0.05),
        [Limit("promoted", 0.0), Limit("p99.9", 50.0), Limit("slowest", None)],
    ),
    Expectation(
        "5 % errors from minute 5 or only at 50 %: stopped, verdict within 60 s in 99.9 %",
        [
            *_at(_USUAL, "5 % errors from minute 5", _FIVE, onset=Onset(10, 300.0)),
            *_at(_USUAL, "5 % errors from minute 5 at 50 %", _FIVE, onset=Onset(50, 300.0)),
            *_at(_USUAL, "5 % errors only at 50 %", _FIVE, onset=Onset(50, 0.0)),
        ],
        [*_STOPPED, Limit("slowest", None)],
    ),
    Expectation(
        "below 2 requests/s: bad never promoted",
        _at((1.0, 1.67), "0.5 % errors", Rates(errors=0.005)),
        [*_NEVER, Limit("undecided", None)],
    ),
    Expectation(
        "little traffic, good: reported",
        _at((1.0, 1.67, 2.0, 5.0), "good", GOOD),
        _limit_of(aborted=None, undecided=None, promoted=None),
    ),
    Expectation(
        "no data: never promoted",
        [
            *_at((10.0,), "no series of the canary", GOOD, counted="missing"),
            *_at((10.0,), "only NaN of the canary", GOOD, counted="nan"),
            *_at((10.0,), "no canary traffic", GOOD, canary_traffic=False),
            *_at((10.0,), "no Prometheus", GOOD, away=(0.0, float("inf"))),
        ],
        [*_NEVER, *_limit_of(aborted=None, undecided=None)],
    ),
    Expectation(
        "2 minutes without Prometheus: good aborted at most 0.5 %",
        [
            scenario
            for start in (0.0, 300.0, 540.0)
            for scenario in _at(
                (10.0,), f"good, away at {start:.0f} s", GOOD, away=(start, start + 120)
            )
        ],
        _limit_of(aborted=0.005, undecided=0.001),
    ),
    Expectation(
        "shared outage, 5 % for 60 s or 1 % for 300 s: undecided",
        [
            *_at(_USUAL, "5 % on both for 60 s", GOOD, outage=Outage(0.05, 60.0)),
            *_at(_USUAL, "1 % on both for 300 s", GOOD, outage=Outage(0.01, 300.0)),
        ],
        _OUTAGE,
    ),
    Expectation(
        "shorter or weaker outage: aborted at most 5 %",
        [
            *_at(_USUAL, "5 % on both for 10 s", GOOD, outage=Outage(0.05, 10.0)),
            *_at(_USUAL, "2 % on both for 30 s", GOOD, outage=Outage(0.02, 30.0)),
            *_at(_USUAL, "1 % on both for 60 s", GOOD, outage=Outage(0.01, 60.0)),
            *_at(_USUAL, "0.5 % on both for 60 s", GOOD, outage=Outage(0.005, 60.0)),
            *_at(_USUAL, "0.3 % on both for 300 s", GOOD, outage=Outage(0.003, 300.0)),
        ],
        _limit_of(aborted=0.05, undecided=None, promoted=None),
    ),
    Expectation(
        "cold start, 30 % slow for 30 s: good aborted at most 1 %",
        _at(_USUAL, "cold start", GOOD, cold_slow=0.3),
        _limit_of(aborted=0.01, undecided=None),
    ),
    Expectation(
        "lost scrapes and shifts of the scores: reported",
        [
            *_at(_USUAL, "good, lost scrapes", GOOD, lost_scrapes=0.05),
            *_at((10.0,), "scores moved by 0.5", GOOD, shift=0.5),
            *_at((10.0,), "scores moved by 1", GOOD, shift=1.0),
        ],
        _limit_of(aborted=None, undecided=None, promoted=None),
    ),
)
