"""Conditions of analyses: the grammar of expr-lang as Argo Rollouts 1.10 compiles it."""

from __future__ import annotations

from collections.abc import Collection
from functools import lru_cache

from gitops_policy.notations.condition_tokens import NEGATABLE, Token, tokens

# What the controller puts beside expr-lang's own functions, with the number of arguments.
OWN = {"asInt": 1, "asFloat": 1, "isNaN": 1, "isInf": 1, "isNil": 1, "default": 2}
_PREDICATES = {
    "all": 2, "none": 2, "any": 2, "one": 2, "filter": 2, "map": 2, "find": 2, "findIndex": 2,
    "findLast": 2, "findLastIndex": 2, "count": 2, "sum": 2, "groupBy": 2, "sortBy": 3, "reduce": 3,
}  # fmt: skip
_ONE_IS_ENOUGH = frozenset({"count", "sum"})
_BUILT_IN = frozenset(
    ("len", "type", "abs", "ceil", "floor", "round", "int", "float", "string", "trim",
     "trimPrefix", "trimSuffix", "upper", "lower", "split", "splitAfter", "replace", "repeat",
     "join", "indexOf", "lastIndexOf", "hasPrefix", "hasSuffix", "max", "min", "mean", "median",
     "toJSON", "fromJSON", "toBase64", "fromBase64", "now", "duration", "date", "timezone",
     "first", "last", "get", "take", "keys", "values", "toPairs", "fromPairs", "reverse", "uniq",
     "concat", "flatten", "sort", "bitnot", "bitand", "bitor", "bitxor", "bitnand", "bitshl",
     "bitshr", "bitushr")
)  # fmt: skip
_BINARY = {
    "|": 0, "or": 10, "||": 10, "and": 15, "&&": 15, "==": 20, "!=": 20, "<": 20, ">": 20,
    ">=": 20, "<=": 20, "in": 20, "matches": 20, "contains": 20, "startsWith": 20,
    "endsWith": 20, "..": 25, "+": 30, "-": 30, "*": 60, "/": 60, "%": 60, "**": 100, "^": 100,
    "??": 500,
}  # fmt: skip
_UNARY = {"not": 50, "!": 50, "-": 90, "+": 90}
_CONSTANTS = frozenset({"true", "false", "nil"})
_DEEPEST = 100


@lru_cache(maxsize=1024)
def flaw(condition: str) -> str:
    """Return why the controller cannot compile a condition; empty where it can."""
    try:
        _Parser(list(tokens(condition))).whole()
    except ValueError as error:
        return str(error)
    return ""


class _Parser:
    """Precedence climbing, in the order of the original."""

    def __init__(self, tokens: list[Token]) -> None:
        self._tokens = tokens
        self._at = 0
        self._depth = 0
        self._predicates = 0
        self._variables: list[str] = ["result", "$env"]

    def whole(self) -> None:
        """Read the condition to its end; raises ValueError with the column."""
        self._sequence()
        if self._now.kind != "end":
            raise self._unexpected()

    @property
    def _now(self) -> Token:
        return self._tokens[self._at]

    def _is(self, *texts: str, kinds: Collection[str] = ("operator", "bracket")) -> bool:
        return self._now.kind in kinds and self._now.text in texts

    def _take(self) -> Token:
        token = self._now
        self._at += token.kind != "end"
        return token

    def _accept(self, *texts: str) -> bool:
        found = self._is(*texts)
        if found:
            self._take()
        return found

    def _expect(self, text: str) -> None:
        if not self._accept(text):
            raise ValueError(f"column {self._now.column}: expected {text}, found {self._now.text}")

    def _name(self) -> Token:
        if self._now.kind != "name":
            raise self._unexpected()
        return self._take()

    def _unexpected(self) -> ValueError:
        return ValueError(f"column {self._now.column}: unexpected {self._now.text}")

    def _sequence(self) -> None:
        self._expression(0)
        while self._accept(";"):
            if self._now.kind == "end":
                return
            self._expression(0)

    def _expression(self, precedence: int) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise ValueError("it nests too deeply to be read")
        if precedence == 0 and self._is("let", "if"):
            self._let() if self._is("let") else self._if()
        else:
            self._primary()
            self._operators(precedence)
            while precedence == 0 and self._accept("?"):
                self._choice()
        self._depth -= 1

    def _operators(self, precedence: int) -> None:
        before = ""
        while self._now.kind == "operator":
            negated = self._is("not")
            after = self._tokens[self._at + 1] if negated else self._now
            if negated and after.text not in NEGATABLE:
                raise self._unexpected()
            binds = _BINARY.get(after.text, -1)
            if binds < precedence:
                return
            if before == "??" != after.text:
                raise ValueError(f"column {after.column}: put ?? in parentheses")
            before = after.text
            self._at += 2 if negated else 1
            if after.text == "|":
                self._call(self._name(), piped=True)
                continue
            self._expression(binds if after.text in ("**", "^") else binds + 1)

    def _let(self) -> None:
        self._take()
        token = self._name()
        name = token.text
        if self._known(name):
            raise ValueError(f"column {token.column}: {name} is defined already")
        self._expect("=")
        self._expression(0)
        self._expect(";")
        self._variables.append(name)
        self._sequence()

    def _if(self) -> None:
        self._take()
        self._expression(0)
        self._block()
        self._expect("else")
        self._if() if self._is("if") else self._block()

    def _block(self) -> None:
        self._expect("{")
        self._sequence()
        self._expect("}")

    def _choice(self) -> None:
        if not self._accept(":"):
            self._expression(0)
            self._expect(":")
        self._expression(0)

    def _primary(self) -> None:
        if self._now.kind == "operator" and self._now.text in _UNARY:
            self._expression(_UNARY[self._take().text])
        elif self._accept("("):
            self._sequence()
            self._expect(")")
        elif self._predicates and self._is("#", "."):
            if self._accept("#") and self._now.kind == "name":
                self._take()
        elif self._accept("::"):
            self._call(self._name())
        elif self._secondary():
            return
        self._postfix()

    def _secondary(self) -> bool:
        """Read a name, literal, list or map; say whether nothing may follow it directly."""
        token = self._now
        if token.kind == "name":
            self._take()
            if self._is("(") and token.text not in _CONSTANTS:
                self._call(token)
            elif token.text not in _CONSTANTS and not self._known(token.text):
                raise ValueError(f"column {token.column}: unknown name {token.text}")
            return token.text in _CONSTANTS
        if token.kind in ("number", "string"):
            self._take()
            return token.kind == "number"
        if self._accept("["):
            self._listed("]")
        elif self._accept("{"):
            self._map()
        else:
            raise self._unexpected()
        return False

    def _known(self, name: str) -> bool:
        return name in OWN or name in _BUILT_IN or name in _PREDICATES or name in self._variables

    def _listed(self, end: str) -> int:
        """Read expressions up to a bracket; return how many."""
        number = 0
        while not self._accept(end):
            if number:
                self._expect(",")
                if self._accept(end):
                    break
            self._expression(0)
            number += 1
        return number

    def _map(self) -> None:
        first = True
        while not self._accept("}"):
            if not first:
                self._expect(",")
                if self._accept("}"):
                    return
            first = False
            if self._is("("):
                self._expression(0)
            elif self._now.kind in ("number", "string", "name"):
                self._take()
            else:
                raise self._unexpected()
            self._expect(":")
            self._expression(0)

    def _call(self, function: Token, *, piped: bool = False) -> None:
        name = function.text
        if name in _PREDICATES and name not in self._variables:
            self._predicate_call(name, piped=piped)
            return
        self._expect("(")
        number = self._listed(")") + piped
        if name in OWN and number != OWN[name]:
            raise ValueError(
                f"column {function.column}: {name} takes {OWN[name]} argument"
                f"{'s' * (OWN[name] > 1)}, not {number}"
            )
        if not self._known(name):
            raise ValueError(f"column {function.column}: unknown name {name}")

    def _predicate_call(self, name: str, *, piped: bool) -> None:
        most, least = _PREDICATES[name], 1 if name in _ONE_IS_ENOUGH else 2
        self._expect("(")
        position = 1 if piped else 0
        while not self._is(")") and position < most:
            if position > (1 if piped else 0):
                self._expect(",")
            self._predicate() if position == 1 else self._expression(0)
            position += 1
        self._accept(",")
        if position < least:
            raise ValueError(f"column {self._now.column}: {name} takes {least} arguments or more")
        self._expect(")")

    def _predicate(self) -> None:
        self._predicates += 1
        self._block() if self._is("{") else self._expression(0)
        self._predicates -= 1

    def _postfix(self) -> None:
        while True:
            if self._accept(".", "?."):
                if self._now.kind not in ("name", "operator") or not self._now.text.isidentifier():
                    if not self._is("["):
                        raise self._unexpected()
                    continue
                self._take()
                if self._accept("("):
                    self._listed(")")
            elif self._accept("["):
                self._index()
            else:
                return

    def _index(self) -> None:
        if not self._accept(":"):
            self._expression(0)
            if self._accept("]"):
                return
            self._expect(":")
        if not self._is("]"):
            self._expression(0)
        self._expect("]")
