"""What a condition says of a result, as the controller's expression engine says it."""

import math
import operator
import re
from collections.abc import Callable
from typing import NoReturn

from canary_gate.errors import EvaluationError, RefusedError
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
from canary_gate.static import Types, require_condition

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_LOWEST = -(2**63)

Value = float | int | bool | str | list[float]
ProviderValue = float | list[float]


def holds(condition: Node, result: ProviderValue) -> bool:
    """Whether the condition is true of the result.

    Raises EvaluationError where the controller's engine fails: an index out of range, a
    list where a number is needed, a condition that is no boolean. The engine compiles a
    condition anew for every result, so a type that does not fit fails wherever it stands.
    """
    try:
        require_condition(condition, "numbers" if isinstance(result, list) else "float")
    except RefusedError as error:
        raise EvaluationError(error.reason) from None
    value = _Evaluator(result).value(condition)
    return value if isinstance(value, bool) else _fail("expected bool")


def _fail(reason: str) -> NoReturn:
    raise EvaluationError(reason)


def _number(value: object, what: str) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        _fail(f"{what} needs a number, found {value!r}")
    return value


def _floated(node: Node) -> Node:
    """An integer argument of isNaN: the compiler makes floats of the literals in its sums."""
    if isinstance(node, Constant) and isinstance(node.value, int):
        return Constant(float(node.value))
    if isinstance(node, Unary):
        return Unary(node.operator, _floated(node.operand))
    if isinstance(node, Binary) and node.operator in ("+", "-", "*"):
        return Binary(node.operator, _floated(node.left), _floated(node.right))
    return node


def _bool(value: object, what: str) -> bool:
    return value if isinstance(value, bool) else _fail(f"{what} needs a bool, found {value!r}")


def _list(value: object, what: str) -> list[object]:
    return value if isinstance(value, list) else _fail(f"{what} needs a list, found {value!r}")


def _wrapped(value: Value) -> Value:
    """An integer as it comes out of 64 bits; anything else as it is."""
    if isinstance(value, bool) or not isinstance(value, int):
        return value
    return (value - _LOWEST) % 2**64 + _LOWEST


def _divided(left: float, right: float) -> float:
    if right:
        return left / right
    sign = math.copysign(1, left) * math.copysign(1, right)
    return math.nan if left == 0 or math.isnan(left) else sign * math.inf


def _power(left: float, right: float) -> float:
    try:
        return math.pow(left, right)
    except ValueError:
        return math.inf if left == 0 else math.nan
    except OverflowError:
        return -math.inf if left < 0 and right % 2 == 1 else math.inf


def _remainder(left: float, right: float) -> int:
    if not (isinstance(left, int) and isinstance(right, int)) or right == 0:
        _fail("% needs integers and a divisor")
    return int(math.copysign(1, left)) * (abs(left) % abs(right))


_ARITHMETIC: dict[str, Callable[[float, float], Value]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": _divided,
    "%": _remainder,
    "**": _power,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


class _Evaluator:
    """One evaluation: the result, and the item of the predicate that runs."""

    def __init__(self, result: ProviderValue) -> None:
        # Every number of a provider is a float, also where Python wrote an integer.
        if isinstance(result, list):
            self._result: Value = [float(value) for value in result]
        else:
            self._result = float(result)
        self._types = Types("numbers" if isinstance(result, list) else "float")
        self._item: object = None

    def value(self, node: Node) -> object:
        return _VALUES[type(node)](self, node)

    def literal(self, node: Constant) -> object:
        return node.value

    def result(self, _: Result) -> object:
        return self._result

    def item(self, _: Item) -> object:
        return self._item

    def list_of(self, node: ListOf) -> object:
        return [self.value(item) for item in node.items]

    def index(self, node: Index) -> object:
        items = _list(self.value(node.value), "[]")
        index = self.value(node.index)
        if isinstance(index, bool) or not isinstance(index, int):
            _fail(f"an index needs an integer, found {index!r}")
        if not -len(items) <= index < len(items):
            _fail(f"index out of range: {index} (list length is {len(items)})")
        return items[index]

    def unary(self, node: Unary) -> object:
        operand = self.value(node.operand)
        if node.operator == "!":
            return not _bool(operand, "!")
        number = _number(operand, node.operator)
        return _wrapped(-number) if node.operator == "-" else number

    def binary(self, node: Binary) -> object:
        left = self.value(node.left)
        if node.operator in ("&&", "||"):
            if _bool(left, node.operator) == (node.operator == "||"):
                return left
            return _bool(self.value(node.right), node.operator)
        right = self.value(node.right)
        if node.operator in ("==", "!="):
            return self._equal(left, right) == (node.operator == "==")
        name = node.operator
        return _wrapped(_ARITHMETIC[name](_number(left, name), _number(right, name)))

    @staticmethod
    def _equal(left: object, right: object) -> bool:
        if isinstance(left, list) and isinstance(right, list):
            _fail("comparing lists with == is not modelled")
        return isinstance(left, bool) == isinstance(right, bool) and left == right

    def choice(self, node: Choice) -> object:
        return self.value(node.yes if _bool(self.value(node.condition), "? :") else node.no)

    def call(self, node: Call) -> object:
        if node.function in _TESTS:
            return self._predicate(node)
        if node.function in ("isNaN", "isInf"):
            return _CALLS[node.function](self._result, self._float(node.arguments[0]))
        arguments = [self.value(argument) for argument in node.arguments]
        return _CALLS[node.function](self._result, *arguments)

    def _float(self, node: Node) -> object:
        whole = self._types.of(node) == "int"
        value = self.value(_floated(node) if whole else node)
        return value if not isinstance(value, int) else _fail(f"needs a float, found {value!r}")

    def _predicate(self, node: Call) -> object:
        verdicts = []
        for item in _list(self.value(node.arguments[0]), node.function):
            self._item = item
            verdicts.append(_bool(self.value(node.arguments[1]), node.function))
        return _TESTS[node.function](verdicts)


def _length(_: Value, value: object) -> int:
    return len(value) if isinstance(value, (list, str)) else _fail(f"no length: {value!r}")


def _as_float(_: Value, value: object) -> float:
    try:
        return float(value) if isinstance(value, str) else float(_number(value, "asFloat"))
    except ValueError:
        _fail(f"asFloat({value!r})")


def _as_int(_: Value, value: object) -> int:
    if isinstance(value, str):
        # Go reads no spaces and no underscores.
        return int(value) if _INTEGER.fullmatch(value) else _fail(f"asInt({value!r})")
    number = _number(value, "asInt")
    # What no 64 bits hold, NaN too, is the lowest number, as amd64 converts it.
    return int(number) if _LOWEST <= number < -_LOWEST else _LOWEST


# isNil and default look at the provider's result and not at their argument, and a result
# that arrived is never nil: default() does not catch an empty list.
_CALLS: dict[str, Callable[..., Value]] = {
    "len": _length,
    "isNaN": lambda _, value: math.isnan(_number(value, "isNaN")),
    "isInf": lambda _, value: math.isinf(_number(value, "isInf")),
    "isNil": lambda _result, _argument: False,
    "default": lambda result, _argument, _default: result,
    "asFloat": _as_float,
    "asInt": _as_int,
}
_TESTS: dict[str, Callable[[list[bool]], Value]] = {
    "all": all,
    "any": any,
    "none": lambda verdicts: not any(verdicts),
    "count": sum,
}
_VALUES: dict[type, Callable[..., object]] = {
    Constant: _Evaluator.literal,
    Result: _Evaluator.result,
    Item: _Evaluator.item,
    ListOf: _Evaluator.list_of,
    Index: _Evaluator.index,
    Unary: _Evaluator.unary,
    Binary: _Evaluator.binary,
    Choice: _Evaluator.choice,
    Call: _Evaluator.call,
}
