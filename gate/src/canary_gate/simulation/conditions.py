"""Conditions over arrays: the same syntax trees as `canary_gate.evaluation`, many looks at once."""

import operator
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import numpy as np

from canary_gate.analysis import Metric
from canary_gate.errors import RefusedError
from canary_gate.expression import (
    Binary,
    Call,
    Choice,
    Constant,
    Index,
    Item,
    ListOf,
    Node,
    Result,
    Unary,
)
from canary_gate.simulation.counters import Array, Mask, Numbers
from canary_gate.verdict import Phase

#: Phases of looks in arrays are indices into this, from good to bad.
PHASES = (Phase.SUCCESSFUL, Phase.INCONCLUSIVE, Phase.ERROR, Phase.FAILED)
SUCCESSFUL, INCONCLUSIVE, ERROR, FAILED = range(4)


@dataclass(frozen=True)
class Results:
    """What the provider returned at many looks.

    `values[i, ...]` is sample i of each look, `length[...]` how many samples there are; what
    stands in `values` past the length is ignored.
    """

    values: Array
    length: Numbers


def phases(metric: Metric, results: Results) -> Numbers:
    """Phase of every look as `canary_gate.run.judge` gives it; a condition that fails is ERROR."""
    failure = _side(metric.failure, results)
    success = _side(metric.success, results)
    if failure is None:
        failure = (~success[0], success[1]) if success else _everywhere(False, results)
    if success is None:
        success = (~failure[0], failure[1])
    found = np.where(success[0], SUCCESSFUL, INCONCLUSIVE)
    found = np.where(failure[0], FAILED, found)
    return np.where(success[1] | failure[1], ERROR, found).astype(np.int8)


def holds(condition: Node, results: Results) -> tuple[Mask, Mask]:
    """Where the condition is true, and where its evaluation fails (index out of range).

    Raises RefusedError for a part of the language that has no form over arrays.
    """
    with np.errstate(all="ignore"):
        value, wrong = _Evaluator(results).of(condition)
    shape = results.length.shape
    return np.broadcast_to(value, shape) & ~wrong, np.broadcast_to(wrong, shape)


def _side(condition: Node | None, results: Results) -> tuple[Mask, Mask] | None:
    return None if condition is None else holds(condition, results)


def _everywhere(value: bool, results: Results) -> tuple[Mask, Mask]:
    return np.full(results.length.shape, value), np.zeros(results.length.shape, bool)


# A value over all looks, and the looks where it has none because the engine would fail.
_Value = tuple[Array, Mask]

_OPERATORS: dict[str, Callable[..., Array]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": np.divide,
    "**": np.power,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}


class _Evaluator:
    """One evaluation over all looks; `item` is a sample or literal while a predicate runs."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._fine = np.zeros((), bool)
        self._item: _Value | None = None

    def of(self, node: Node) -> _Value:
        if type(node) not in _VALUES:
            raise RefusedError(f"{type(node).__name__} has no form over arrays")
        return _VALUES[type(node)](self, node)

    def constant(self, node: Constant) -> _Value:
        value = node.value if isinstance(node.value, (bool, str)) else float(node.value)
        return np.asarray(value), self._fine

    def item(self, _: Item) -> _Value:
        if self._item is None:
            raise RefusedError("# outside a predicate")
        return self._item

    def index(self, node: Index) -> _Value:
        at = node.index.value if isinstance(node.index, Constant) else None
        if not isinstance(node.value, Result) or not isinstance(at, int):
            raise RefusedError("only result[number] has a form over arrays")
        if at >= len(self._results.values):
            return np.asarray(np.nan), np.ones((), bool)
        return self._results.values[at], self._results.length <= at

    def unary(self, node: Unary) -> _Value:
        value, wrong = self.of(node.operand)
        if node.operator == "!":
            return ~value.astype(bool), wrong
        return (-value.astype(float) if node.operator == "-" else value), wrong

    def binary(self, node: Binary) -> _Value:
        left, wrong = self.of(node.left)
        right, also = self.of(node.right)
        if node.operator == "&&":
            return left & right, wrong | (left & also)
        if node.operator == "||":
            return left | right, wrong | (~left & also)
        if node.operator not in _OPERATORS:
            raise RefusedError(f"{node.operator} has no form over arrays")
        return _OPERATORS[node.operator](left, right), wrong | also

    def choice(self, node: Choice) -> _Value:
        chosen, wrong = self.of(node.condition)
        (yes, yes_wrong), (no, no_wrong) = self.of(node.yes), self.of(node.no)
        return np.where(chosen, yes, no), wrong | np.where(chosen, yes_wrong, no_wrong)

    def call(self, node: Call) -> _Value:
        if node.function in _TESTS:
            return self._predicate(node)
        if node.function == "len" and isinstance(node.arguments[0], Result):
            return self._results.length, self._fine
        if node.function not in _CALLS:
            raise RefusedError(f"{node.function}() has no form over arrays")
        value, wrong = self.of(node.arguments[0])
        return _CALLS[node.function](value), wrong

    def _predicate(self, node: Call) -> _Value:
        subject, test = node.arguments
        held, wrong = [], self._fine
        for item, exists in self._items(subject):
            self._item = item
            value, also = self.of(test)
            held.append((value.astype(bool), exists))
            wrong = wrong | (also & exists)
        self._item = None
        return _TESTS[node.function](held), wrong

    def _items(self, subject: Node) -> list[tuple[_Value, Mask]]:
        if isinstance(subject, Result):
            rows = enumerate(self._results.values)
            return [((row, self._fine), self._results.length > at) for at, row in rows]
        if isinstance(subject, ListOf):
            return [(self.of(item), np.ones((), bool)) for item in subject.items]
        raise RefusedError("a predicate over this has no form over arrays")


_Held = list[tuple[Mask, Mask]]


def _any(held: _Held) -> Mask:
    return reduce(operator.or_, (value & exists for value, exists in held), np.zeros((), bool))


def _all(held: _Held) -> Mask:
    return reduce(operator.and_, (value | ~exists for value, exists in held), np.ones((), bool))


def _number(held: _Held) -> Array:
    return reduce(operator.add, ((v & e).astype(float) for v, e in held), np.zeros(()))


_TESTS: dict[str, Callable[[_Held], Array]] = {
    "all": _all,
    "any": _any,
    "none": lambda held: ~_any(held),
    "count": _number,
}
_CALLS: dict[str, Callable[..., Array]] = {
    "isNaN": np.isnan,
    "isInf": np.isinf,
    "asFloat": np.asarray,
}
_VALUES: dict[type, Callable[..., _Value]] = {
    Constant: _Evaluator.constant,
    Item: _Evaluator.item,
    Index: _Evaluator.index,
    Unary: _Evaluator.unary,
    Binary: _Evaluator.binary,
    Choice: _Evaluator.choice,
    Call: _Evaluator.call,
}
