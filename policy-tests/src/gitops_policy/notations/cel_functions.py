"""What the operators and functions of the Common Expression Language do with plain values."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from gitops_policy.notations.durations import go_seconds


class CelError(Exception):
    """An evaluation without a result: a missing key, or operands that do not fit."""


class UnknownToCel(Exception):  # noqa: N818
    """A function or form that is not known here: nothing can be said."""


def member(holder: Any, key: Any) -> Any:
    """Return the value under a key of a map, or at a place of a list."""
    if isinstance(holder, dict):
        if key not in holder or holder[key] is None:
            raise CelError(f"no such key {key}")
        return holder[key]
    if isinstance(holder, list) and isinstance(key, int) and 0 <= key < len(holder):
        return holder[key]
    raise CelError(f"no such item {key}")


def members(value: Any) -> Any:
    """Return what can be walked over: a list, or a map by its keys."""
    if not isinstance(value, list | dict):
        raise CelError("neither a list nor a map")
    return value


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, bool) is not isinstance(other, bool):
        return False
    return bool(one == other)


def _ordered(one: Any, other: Any) -> int:
    numbers = isinstance(one, int | float) and isinstance(other, int | float)
    if not numbers and not (isinstance(one, str) and isinstance(other, str)):
        raise CelError("cannot be compared")
    return int(one > other) - int(one < other)


def _plus(one: Any, other: Any) -> Any:
    if isinstance(one, bool) or isinstance(one, str | list) is not isinstance(other, str | list):
        raise CelError("cannot be added")
    return one + other


def _divided(one: Any, other: Any) -> Any:
    """Divide as CEL does: whole numbers towards zero, whatever their size."""
    if not isinstance(one, int) or not isinstance(other, int):
        return one / other
    whole = abs(one) // abs(other)
    return whole if (one < 0) == (other < 0) else -whole


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "==": _equal,
    "!=": lambda one, other: not _equal(one, other),
    "<": lambda one, other: _ordered(one, other) < 0,
    "<=": lambda one, other: _ordered(one, other) <= 0,
    ">": lambda one, other: _ordered(one, other) > 0,
    ">=": lambda one, other: _ordered(one, other) >= 0,
    "in": lambda one, other: any(_equal(one, item) for item in members(other)),
    "+": _plus,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": _divided,
    "%": lambda one, other: one - other * _divided(one, other),
}


@cache
def _pattern(pattern: str) -> re.Pattern[str]:
    # RE2 takes flags anywhere, Python at the start only.
    flags = "(?i)" if "(?i)" in pattern else ""
    plain = pattern.replace("(?i)", "").replace(r"\z", r"\Z")
    try:
        return re.compile(flags + plain)
    except re.error as error:
        raise UnknownToCel(f"pattern {pattern}") from error


def _duration(value: Any) -> float:
    seconds = value if isinstance(value, float) else go_seconds(value)
    if seconds is None:
        raise CelError(f"{value!r} is no duration")
    return float(seconds)


def _is(reader: Callable[[str], Any]) -> Callable[[Any], bool]:
    def check(value: Any) -> bool:
        try:
            reader(value)
        except ValueError:
            return False
        return True

    return check


def _substring(value: str, start: int, end: int | None = None) -> str:
    if not 0 <= start <= (len(value) if end is None else end) <= len(value):
        raise CelError("out of range")
    return value[start:end]


def _is_url(value: str) -> bool:
    parts = urlsplit(value)
    return bool(parts.scheme and (parts.netloc or parts.path.startswith("/")))


_FUNCTIONS: dict[str, Callable[..., Any]] = {
    "contains": lambda value, part: part in str(value),
    "double": float,
    "duration": _duration,
    "endsWith": lambda value, end: str(value).endswith(end),
    "indexOf": lambda value, part: str(value).find(part),
    "int": int,
    "isCIDR": _is(ip_network),
    "isIP": _is(ip_address),
    "isURL": _is_url,
    "join": lambda values, by="": by.join(values),
    "lowerAscii": lambda value: value.lower(),
    "matches": lambda value, pattern: _pattern(pattern).search(value) is not None,
    "replace": lambda value, old, new: value.replace(old, new),
    "size": len,
    "split": lambda value, by: value.split(by) if by else list(value),
    "startsWith": lambda value, start: str(value).startswith(start),
    "string": str,
    "substring": _substring,
    "trim": lambda value: value.strip(),
    "upperAscii": lambda value: value.upper(),
}


def apply(name: str, values: list[Any]) -> Any:
    """Call a function, or a method with what it is called on as the first value."""
    function = _FUNCTIONS.get(name)
    if function is None:
        raise UnknownToCel(f"function {name}")
    try:
        return function(*values)
    except (TypeError, ValueError, AttributeError) as error:
        raise CelError(str(error)) from error
