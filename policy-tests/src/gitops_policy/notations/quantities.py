"""Kubernetes quantities: `500m`, `1Gi`, `2e3`."""

from __future__ import annotations

import math
import re
from fractions import Fraction

_PATTERN = re.compile(
    r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))"
    r"(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)",
    re.ASCII,
)
_SUFFIXES = {
    "n": Fraction(1, 10**9),
    "u": Fraction(1, 10**6),
    "m": Fraction(1, 1000),
    "k": Fraction(1000),
    **{name: Fraction(1000) ** (i + 2) for i, name in enumerate("MGTPE")},
    **{f"{name}i": Fraction(1024) ** (i + 1) for i, name in enumerate("KMGTPE")},
}


def quantity(value: object) -> Fraction | None:
    """Return the amount of a resource quantity; None if it is not one.

    Units are those of the resource: cores, bytes, pieces. Format as in the Kubernetes API
    (apimachinery's resource.Quantity).
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _PATTERN.fullmatch(str(value).strip())  # the API server strips it, too
    if not match:
        return None
    number, exponent, suffix = match.groups()
    amount = Fraction(number)
    if exponent:
        return amount * Fraction(10) ** int(exponent[1:])
    return amount * _SUFFIXES[suffix] if suffix else amount


def share(value: object, whole: int) -> int | None:
    """Return a count or percentage (`2`, `"25%"`) of `whole` pods, rounded up; None if neither."""
    exact = _share(value, whole)
    return None if exact is None else math.ceil(exact)


def share_down(value: object, whole: int) -> int | None:
    """Return a count or percentage of `whole` pods, rounded down; None if neither."""
    exact = _share(value, whole)
    return None if exact is None else math.floor(exact)


def _share(value: object, whole: int) -> Fraction | None:
    if isinstance(value, int) and not isinstance(value, bool):
        return Fraction(value)
    match = re.fullmatch(r"([0-9]{1,9})%", value) if isinstance(value, str) else None
    return Fraction(int(match[1]) * whole, 100) if match else None
