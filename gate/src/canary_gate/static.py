"""Types of a condition as the controller's compiler sees them, before anything is evaluated."""

from collections.abc import Callable
from typing import Literal

from canary_gate.errors import RefusedError
from canary_gate.expression import (
    PREDICATES,
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

#: `numbers` is a list of numbers, `any` what only the evaluation shows.
Type = Literal["int", "float", "bool", "string", "list", "numbers", "any"]

_WIDER: dict[str, tuple[Type, ...]] = {
    "number": ("int", "float", "any"),
    "integer": ("int", "any"),
    "float": ("float", "int", "any"),
    "bool": ("bool", "any"),
    "list": ("list", "numbers", "any"),
    "list or string": ("list", "numbers", "string", "any"),
}
_KIND = {"int": "number", "float": "number", "numbers": "list"}
_CALLS: dict[str, tuple[str, Type]] = {
    "len": ("list or string", "int"),
    "isNaN": ("float", "bool"),
    "isInf": ("float", "bool"),
    "isNil": ("", "bool"),
    "default": ("", "any"),
    "asFloat": ("", "float"),
    "asInt": ("", "int"),
}


def require_condition(node: Node, result: Type = "any") -> None:
    """Refuse a condition that the controller's compiler refuses for this type of result."""
    if Types(result).of(node) not in ("bool", "any"):
        raise RefusedError("the condition is not true or false")


class Types:
    """Types of nodes, given the type of the result."""

    def __init__(self, result: Type) -> None:
        self._result = result
        self._item: Type = "any"

    def of(self, node: Node) -> Type:
        """Type of a node; raises RefusedError for operands that cannot fit."""
        return _RULES[type(node)](self, node)

    def _fits(self, node: Node, wanted: str, what: str) -> Type:
        found = self.of(node)
        if found not in _WIDER[wanted]:
            raise RefusedError(f"{what} needs {wanted}, found {found}")
        return found

    def constant(self, node: Constant) -> Type:
        """A literal is what it looks like."""
        if isinstance(node.value, bool):
            return "bool"
        if isinstance(node.value, str):
            return "string"
        return "int" if isinstance(node.value, int) else "float"

    def result(self, _: Result) -> Type:
        """The provider decides."""
        return self._result

    def item(self, _: Item) -> Type:
        """The list that a predicate runs over decides."""
        return self._item

    def list_of(self, node: ListOf) -> Type:
        """A list literal; its items are checked, not compared."""
        for item in node.items:
            self.of(item)
        return "list"

    def index(self, node: Index) -> Type:
        """An item of a list."""
        self._fits(node.index, "integer", "an index")
        return "float" if self._fits(node.value, "list", "[]") == "numbers" else "any"

    def unary(self, node: Unary) -> Type:
        """A sign keeps the type of its number."""
        if node.operator == "!":
            self._fits(node.operand, "bool", "!")
            return "bool"
        return self._fits(node.operand, "number", node.operator)

    def binary(self, node: Binary) -> Type:
        """Logic, equality, order or arithmetic."""
        name = node.operator
        if name in ("&&", "||"):
            self._fits(node.left, "bool", name)
            self._fits(node.right, "bool", name)
            return "bool"
        if name in ("==", "!="):
            return self._equality(node)
        wanted = "integer" if name == "%" else "number"
        sides = self._fits(node.left, wanted, name), self._fits(node.right, wanted, name)
        if name in ("<", "<=", ">", ">="):
            return "bool"
        if name in ("/", "**"):
            return "float"
        if name == "%":
            return "int"
        return "any" if "any" in sides else "float" if "float" in sides else "int"

    def _equality(self, node: Binary) -> Type:
        left, right = self.of(node.left), self.of(node.right)
        if "any" not in (left, right) and _KIND.get(left, left) != _KIND.get(right, right):
            raise RefusedError(f"{node.operator} compares {left} with {right}")
        return "bool"

    def choice(self, node: Choice) -> Type:
        """One of two values."""
        self._fits(node.condition, "bool", "? :")
        yes, no = self.of(node.yes), self.of(node.no)
        return yes if yes == no else "any"

    def call(self, node: Call) -> Type:
        """A function or a predicate."""
        if node.function in PREDICATES:
            return self._predicate(node)
        wanted, returned = _CALLS[node.function]
        for argument in node.arguments:
            if wanted:
                self._fits(argument, wanted, f"{node.function}()")
            else:
                self.of(argument)
        return returned

    def _predicate(self, node: Call) -> Type:
        subject = self._fits(node.arguments[0], "list", f"{node.function}()")
        self._item = "float" if subject == "numbers" else "any"
        self._fits(node.arguments[1], "bool", f"{node.function}()")
        self._item = "any"
        return "int" if node.function == "count" else "bool"


_RULES: dict[type, Callable[..., Type]] = {
    Constant: Types.constant,
    Result: Types.result,
    Item: Types.item,
    ListOf: Types.list_of,
    Index: Types.index,
    Unary: Types.unary,
    Binary: Types.binary,
    Choice: Types.choice,
    Call: Types.call,
}
