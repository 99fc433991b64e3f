"""Evaluating the Common Expression Language on plain values."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from gitops_policy.notations.cel_functions import (
    BINARY,
    CelError,
    UnknownToCel,
    apply,
    member,
    members,
)
from gitops_policy.notations.cel_syntax import CelSyntaxError, Node, parse

_ESCAPED = re.compile(r"__([a-z]+)__")
_SIGNS = {"underscores": "__", "dot": ".", "dash": "-", "slash": "/"}
_MOST_STEPS = 200_000


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
            return BINARY[node.kind](left, right)
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
        return member(self.of(node.parts[0]), _unescaped(node.value))

    def index(self, node: Node) -> Any:
        return member(self.of(node.parts[0]), self.of(node.parts[1]))

    def listing(self, node: Node) -> list[Any]:
        return [self.of(part) for part in node.parts]

    def mapping(self, node: Node) -> dict[Any, Any]:
        values = self.listing(node)
        return dict(zip(values[::2], values[1::2], strict=True))

    def call(self, node: Node) -> Any:
        if node.value == "has":
            return self.has(node.parts[0])
        return apply(node.value, [self.of(part) for part in node.parts])

    def has(self, node: Node) -> bool:
        if node.kind != "field":
            raise UnknownToCel("has() of what is no field")
        holder = self.of(node.parts[0])
        if not isinstance(holder, dict):
            raise CelError("has() of what is no object")
        return holder.get(_unescaped(node.value)) is not None

    def method(self, node: Node) -> Any:
        if node.value in _MACRO and len(node.parts) in (3, 4):
            return self.macro(node)
        return apply(node.value, [self.of(part) for part in node.parts])

    def macro(self, node: Node) -> Any:
        items = list(members(self.of(node.parts[0])))
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
