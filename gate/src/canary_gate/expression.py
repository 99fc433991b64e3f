"""Conditions: the syntax tree of the expr-lang subset and its parser."""

from dataclasses import dataclass

from canary_gate.errors import RefusedError
from canary_gate.lexer import Token, tokens


@dataclass(frozen=True)
class Constant:
    """A number, string or boolean as written."""

    value: float | int | str | bool


@dataclass(frozen=True)
class Result:
    """What the provider returned."""


@dataclass(frozen=True)
class Item:
    """`#`, the item that a predicate is asked about."""


@dataclass(frozen=True)
class ListOf:
    """A list literal."""

    items: tuple["Node", ...]


@dataclass(frozen=True)
class Index:
    """One item of a list; negative counts from the end."""

    value: "Node"
    index: "Node"


@dataclass(frozen=True)
class Unary:
    """`!`, `-` or `+` before an operand."""

    operator: str
    operand: "Node"


@dataclass(frozen=True)
class Binary:
    """An operator between two operands; `and`/`or` are kept as `&&`/`||`."""

    operator: str
    left: "Node"
    right: "Node"


@dataclass(frozen=True)
class Choice:
    """`condition ? yes : no`."""

    condition: "Node"
    yes: "Node"
    no: "Node"


@dataclass(frozen=True)
class Call:
    """A function call; for all, any, none, count the second argument is a predicate."""

    function: str
    arguments: tuple["Node", ...]


Node = Constant | Result | Item | ListOf | Index | Unary | Binary | Choice | Call

#: Number of arguments of the functions in the subset.
FUNCTIONS = {
    "len": 1,
    "isNaN": 1,
    "isInf": 1,
    "isNil": 1,
    "default": 2,
    "asFloat": 1,
    "asInt": 1,
}
PREDICATES = ("all", "any", "none", "count")

# Binding powers of expr-lang; unary minus binds below the power, `!` above comparisons.
_BINARY = {
    "||": 10, "&&": 15, "==": 20, "!=": 20, "<": 20, ">": 20, "<=": 20, ">=": 20,
    "+": 30, "-": 30, "*": 60, "/": 60, "%": 60, "**": 100, "^": 100,
}  # fmt: skip
_UNARY = {"!": 50, "-": 90, "+": 90}
_WORDS = {"and": "&&", "or": "||", "not": "!"}
_ORDER = ("<", ">", "<=", ">=")


def parse(text: str) -> Node:
    """Parse a condition of the subset.

    Raises RefusedError with the column for anything outside it.
    """
    return _Parser(tokens(text)).whole()


class _Parser:
    """Pratt parser over the tokens of one condition."""

    def __init__(self, source: list[Token]) -> None:
        self._tokens = source
        self._at = 0
        self._in_predicate = False

    def whole(self) -> Node:
        node = self._expression()
        if self._next.kind != "end":
            raise self._refused()
        return node

    @property
    def _next(self) -> Token:
        return self._tokens[self._at]

    def _take(self) -> Token:
        token = self._next
        self._at += 1
        return token

    def _accept(self, text: str) -> bool:
        if self._next.kind == "operator" and self._next.text == text:
            self._at += 1
            return True
        return False

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise self._refused(f"expected {text!r}, found {self._next.text!r}")

    def _refused(self, reason: str = "") -> RefusedError:
        reason = reason or f"{self._next.text!r} is not understood here"
        return RefusedError(f"column {self._next.column}: {reason}")

    def _operator(self) -> str:
        if self._next.kind == "name":
            return _WORDS.get(self._next.text, "")
        return self._next.text if self._next.kind == "operator" else ""

    def _expression(self) -> Node:
        condition = self._binary(0)
        if not self._accept("?"):
            return condition
        yes = self._expression()
        self._expect(":")
        return Choice(condition, yes, self._expression())

    def _binary(self, floor: int) -> Node:
        left = self._unary()
        while (power := _BINARY.get(operator := self._operator(), -1)) >= max(floor, 1):
            if operator in _ORDER and isinstance(left, Binary) and self._chained(left):
                raise self._refused("a chain of comparisons is not modelled; use &&")
            self._take()
            right = self._binary(power if operator in ("**", "^") else power + 1)
            left = Binary("**" if operator == "^" else operator, left, right)
        return left

    def _chained(self, left: Binary) -> bool:
        return left.operator in _ORDER and self._tokens[self._at - 1].text != ")"

    def _unary(self) -> Node:
        operator = self._operator()
        if operator in _UNARY:
            self._take()
            return Unary(operator, self._binary(_UNARY[operator]))
        node = self._primary()
        while self._accept("["):
            node = Index(node, self._expression())
            self._expect("]")
        return node

    def _primary(self) -> Node:
        token = self._next
        if token.kind in ("int", "float", "string"):
            return self._literal(self._take())
        if token.kind == "name":
            return self._name()
        if self._accept("("):
            node = self._expression()
            self._expect(")")
            return node
        if self._accept("["):
            return ListOf(self._arguments("]"))
        if token.text == "#" and self._in_predicate:
            self._take()
            return Item()
        raise self._refused()

    @staticmethod
    def _literal(token: Token) -> Constant:
        if token.kind == "string":
            return Constant(token.text[1:-1])
        return Constant(int(token.text) if token.kind == "int" else float(token.text))

    def _name(self) -> Node:
        token = self._take()
        if token.text in ("true", "false"):
            return Constant(token.text == "true")
        if token.text == "result":
            return Result()
        if token.text in PREDICATES:
            return self._predicate(token.text)
        if token.text in FUNCTIONS and self._accept("("):
            arguments = self._arguments(")")
            if len(arguments) != FUNCTIONS[token.text]:
                raise self._refused(f"wrong number of arguments for {token.text}()")
            return Call(token.text, arguments)
        raise RefusedError(f"column {token.column}: {token.text!r} is not modelled")

    def _predicate(self, name: str) -> Node:
        self._expect("(")
        subject = self._expression()
        self._expect(",")
        if self._in_predicate:
            raise self._refused("a predicate inside a predicate is not modelled")
        self._in_predicate = True
        braces = self._accept("{")
        test = self._expression()
        if braces:
            self._expect("}")
        self._in_predicate = False
        self._expect(")")
        return Call(name, (subject, test))

    def _arguments(self, end: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self._accept(end):
            if found:
                self._expect(",")
            found.append(self._expression())
        return tuple(found)
