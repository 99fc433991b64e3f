"""Parameters of the tests that a template makes: each in its range, and in order."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class _Range:
    """What the arguments of a name have to be: those with this ending, or of this beginning."""

    endings: tuple[str, ...]
    words: str
    holds: Callable[[float], bool]
    beginnings: tuple[str, ...] = ()

    def names(self, argument: str) -> bool:
        return argument.endswith(self.endings) or argument.startswith(self.beginnings)


# A test with z = 0, or with boundaries on one side of zero, is wrong in half of its verdicts.
_RANGES = (
    _Range(("-p0", "-p1", "-limit", "-floor", "-budget"), "between 0 and 1", lambda x: 0 < x < 1),
    _Range(("-z", "-alarm-at", "-reject-at"), "above 0", lambda x: x > 0, ("minimum-",)),
    _Range(("-accept-at",), "below 0", lambda x: x < 0),
    _Range(("-ratio",), "above 1", lambda x: x > 1),
    _Range((), "at least 1", lambda x: x >= 1, ("design-effect",)),
)
_PAIRS = (("-p0", "-p1"), ("-undecided-above", "-fail-above"), ("-stable-at", "-fail-at"))


def parameter_problems(arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The name of each argument that does not fit and why, known by the words in the names.

    `X-p0` < `X-p1`; `X-accept-at` < 0 < `X-reject-at`, with error rates below 0.5 (A. Wald,
    Sequential Tests of Statistical Hypotheses, 1945); `X-undecided-above` < `X-fail-above`.
    """
    numbers: dict[str, float] = {}
    for name, text in arguments.items():
        ranges = [wanted for wanted in _RANGES if wanted.names(name)]
        number = _number(text)
        if number is not None:
            numbers[name] = number
        for wanted in ranges:
            if number is None or not wanted.holds(number):
                yield name, f"{name} must be {wanted.words}, found {text}"
    for low, high in _PAIRS:
        for name, other in _both(numbers, low, high):
            if numbers[name] >= numbers[other]:
                yield (
                    name,
                    f"{name} ({arguments[name]}) must be below {other} ({arguments[other]})",
                )
    for accept, reject in _both(numbers, "-accept-at", "-reject-at"):
        yield from _rate_problems(accept, numbers[accept], numbers[reject])


def _rate_problems(name: str, accept: float, reject: float) -> Iterator[tuple[str, str]]:
    """Boundaries A < 0 < B have alpha = (1 - e^A) / (e^B - e^A), beta = e^A (e^B - 1) / (same)."""
    if not accept < 0 < reject:
        return
    between = math.expm1(accept - reject)
    alpha = math.exp(-reject) * math.expm1(accept) / between
    beta = math.exp(accept) * math.expm1(-reject) / between
    for what, rate in (("alpha", alpha), ("beta", beta)):
        if rate >= 0.5:
            yield name, f"{name} and its counterpart allow {what} = {rate:.2g}, must be below 0.5"


def _both(numbers: Mapping[str, float], low: str, high: str) -> Iterator[tuple[str, str]]:
    for name in numbers:
        if name.endswith(low) and (other := name.removesuffix(low) + high) in numbers:
            yield name, other


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
