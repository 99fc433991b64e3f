"""Evaluating the Common Expression Language on plain values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from ipaddress import ip_address, ip_network
from typing import Any
from urllib.parse import urlsplit

from gitops_policy.notations.cel_syntax import CelSyntaxError, Node, parse
from gitops_policy.notations.durations import go_seconds

_ESCAPED = re.compile(r"__([a-z]+)__")
_SIGNS = {"underscores": "__", "dot": ".", "dash": "-", "slash": "/"}
_MACROS = ("all", "exists", "exists_one", "filter", "map")
_MOST_STEPS = 200_000


class CelError(Exception):
    """An evaluation without a result: a missing key, or operands that do not fit."""


class UnknownToCel(Exception):  # noqa: N818
    """A function or form that is not known here: nothing can be said."""


def holds(expression: str, value: object) -> bool | None:
    """Say whether a rule holds for `self`; None where nothing can be said.

    An expression that fails on the value does not hold, as the API server decides.
    """
    try:
        return _Evaluation({"self": value}).of(parse(expression)) is True
    except CelError:
        return False
    except (UnknownToCel, CelSyntaxError, RecursionError):
        return None


class _Evaluation:
    """One evaluation, with its variables and a bound on its steps."""

    def __init__(self, names: Mapping[str, Any]) -> None:
        self.names = dict(names)
        self.steps = 0

    def of(self, node: Node) -> Any:
        self.steps += 1
        if self.steps > _MOST_STEPS:
            raise UnknownToCel("too many steps")
        handler = _NODES.get(node.kind)
        if handler is not None:
            return handler(self, node)
        return self.binary(node)

    def binary(self, node: Node) -> Any:
        left, right = self.of(node.parts[0]), self.of(node.parts[1])
        try:
            return _BINARY[node.kind](left, right)
        except (TypeError, ValueError, ZeroDivisionError) as error:
            raise CelError(str(error)) from error

    def logic(self, node: Node) -> bool:
        """`&&` and `||`: a side that decides wins over a side that fails."""
        decides = node.kind == "||"
        failure: CelError | None = None
        for part in node.parts:
            try:
                if self.of(part) is decides:
                    return node.kind == "||"
            except CelError as error:
                failure = error
        if failure:
            raise failure
        return not decides

    def ternary(self, node: Node) -> Any:
        return self.of(node.parts[1] if self.of(node.parts[0]) is True else node.parts[2])

    def negation(self, node: Node) -> bool:
        value = self.of(node.parts[0])
        if not isinstance(value, bool):
            raise CelError("! of what is no truth value")
        return not value

    def minus(self, node: Node) -> Any:
        value = self.of(node.parts[0])
        if not isinstance(value, int | float):
            raise CelError("- of what is no number")
        return -value

    def variable(self, node: Node) -> Any:
        if node.value not in self.names:
            raise UnknownToCel(f"variable {node.value}")
        return self.names[node.value]

    def field(self, node: Node) -> Any:
        return _item(self.of(node.parts[0]), _unescaped(node.value))

    def index(self, node: Node) -> Any:
        return _item(self.of(node.parts[0]), self.of(node.parts[1]))

    def listing(self, node: Node) -> list[Any]:
        return [self.of(part) for part in node.parts]

    def mapping(self, node: Node) -> dict[Any, Any]:
        values = self.listing(node)
        return dict(zip(values[::2], values[1::2], strict=True))

    def call(self, node: Node) -> Any:
        if node.value == "has":
            return self.has(node.parts[0])
        return _apply(node.value, [self.of(part) for part in node.parts])

    def has(self, node: Node) -> bool:
        if node.kind != "field":
            raise UnknownToCel("has() of what is no field")
        holder = self.of(node.parts[0])
        if not isinstance(holder, dict):
            raise CelError("has() of what is no object")
        return holder.get(_unescaped(node.value)) is not None

    def method(self, node: Node) -> Any:
        if node.value in _MACROS and len(node.parts) in (3, 4):
            return self.macro(node)
        return _apply(node.value, [self.of(part) for part in node.parts])

    def macro(self, node: Node) -> Any:
        items = list(_items(self.of(node.parts[0])))
        if node.parts[1].kind != "name" or len(node.parts) != 3:
            raise UnknownToCel("a macro of two variables")
        results = [self.bound(node.parts[1].value, item, node.parts[2]) for item in items]
        failures = [result for result in results if isinstance(result, CelError)]
        if node.value in ("all", "exists"):
            wanted = node.value == "exists"
            if any(result is wanted for result in results):
                return wanted
        if failures:
            raise failures[0]
        return _MACRO[node.value](items, results)

    def bound(self, name: str, value: Any, body: Node) -> Any:
        before = self.names.get(name)
        self.names[name] = value
        try:
            return self.of(body)
        except CelError as error:
            return error
        finally:
            self.names[name] = before


_MACRO: dict[str, Callable[[list[Any], list[Any]], Any]] = {
    "all": lambda _items, _results: True,
    "exists": lambda _items, _results: False,
    "exists_one": lambda _items, results: results.count(True) == 1,
    "filter": lambda items, results: [i for i, r in zip(items, results, strict=True) if r is True],
    "map": lambda _items, results: results,
}
_NODES: dict[str, Callable[[_Evaluation, Node], Any]] = {
    "value": lambda _evaluation, node: node.value,
    "name": _Evaluation.variable,
    "field": _Evaluation.field,
    "index": _Evaluation.index,
    "list": _Evaluation.listing,
    "map": _Evaluation.mapping,
    "call": _Evaluation.call,
    "method": _Evaluation.method,
    "?:": _Evaluation.ternary,
    "&&": _Evaluation.logic,
    "||": _Evaluation.logic,
    "unary!": _Evaluation.negation,
    "unary-": _Evaluation.minus,
}


def _unescaped(name: str) -> str:
    return _ESCAPED.sub(lambda match: _SIGNS.get(match.group(1), match.group(1)), name)


def _item(holder: Any, key: Any) -> Any:
    if isinstance(holder, dict):
        if key not in holder or holder[key] is None:
            raise CelError(f"no such key {key}")
        return holder[key]
    if isinstance(holder, list) and isinstance(key, int) and 0 <= key < len(holder):
        return holder[key]
    raise CelError(f"no such item {key}")


def _items(value: Any) -> Any:
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


_BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "==": _equal,
    "!=": lambda one, other: not _equal(one, other),
    "<": lambda one, other: _ordered(one, other) < 0,
    "<=": lambda one, other: _ordered(one, other) <= 0,
    ">": lambda one, other: _ordered(one, other) > 0,
    ">=": lambda one, other: _ordered(one, other) >= 0,
    "in": lambda one, other: any(_equal(one, item) for item in _items(other)),
    "+": _plus,
    "-": lambda one, other: one - other,
    "*": lambda one, other: one * other,
    "/": lambda one, other: int(one / other) if isinstance(one, int) else one / other,
    "%": lambda one, other: one % other,
}


def _apply(name: str, values: list[Any]) -> Any:
    function = _FUNCTIONS.get(name)
    if function is None:
        raise UnknownToCel(f"function {name}")
    try:
        return function(*values)
    except (TypeError, ValueError, AttributeError) as error:
        raise CelError(str(error)) from error


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
