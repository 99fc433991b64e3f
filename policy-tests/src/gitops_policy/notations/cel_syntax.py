"""Reading the Common Expression Language, as the validation rules of CRDs use it."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from typing import Any

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>[rR]?(?:\"\"\"(?:\\.|[^\\])*?\"\"\"|'''(?:\\.|[^\\])*?'''
        |"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'))
      |(?P<number>\d+\.\d+(?:[eE][-+]?\d+)?|0x[0-9a-fA-F]+u?|\d+u?)
      |(?P<name>[A-Za-z_]\w*)
      |(?P<sign>&&|\|\||==|!=|<=|>=|\.\?|\[\?|[-+*/%<>!?:.,()\[\]{}])
    )""",
    re.VERBOSE | re.DOTALL,
)
_LITERALS = {"true": True, "false": False, "null": None}
_LEVELS = (
    ("||",),
    ("&&",),
    ("==", "!=", "<", "<=", ">", ">=", "in"),
    ("+", "-"),
    ("*", "/", "%"),
)
_LEVEL = {sign: level for level, signs in enumerate(_LEVELS) for sign in signs}
_DEEPEST = 60


class CelSyntaxError(Exception):
    """An expression that cannot be read here: at which position, and why."""


@dataclass(frozen=True, slots=True)
class Node:
    """One part of an expression: its kind, its name or value, and its parts."""

    kind: str
    value: Any = None
    parts: tuple[Node, ...] = ()


@cache
def parse(expression: str) -> Node:
    """Read an expression. Raises CelSyntaxError."""
    reader = _Reader(_tokens(expression))
    node = reader.ternary(0)
    if reader.sign != "":
        raise CelSyntaxError(f"unexpected {reader.sign!r}")
    return node


def _tokens(expression: str) -> list[tuple[str, str]]:
    tokens, position = [], 0
    text = expression.rstrip()
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            raise CelSyntaxError(f"unreadable at {position}")
        kind = match.lastgroup or ""
        tokens.append((kind, match.group(kind)))
        position = match.end()
    return tokens


class _Reader:
    """A recursive descent over the tokens."""

    def __init__(self, tokens: list[tuple[str, str]]) -> None:
        self.tokens = [*tokens, ("end", "")]
        self.at = 0

    @property
    def sign(self) -> str:
        kind, value = self.tokens[self.at]
        return "" if kind in ("text", "number") else value

    def take(self) -> tuple[str, str]:
        token = self.tokens[self.at]
        self.at += 1
        return token

    def skip(self, sign: str) -> bool:
        if self.sign != sign:
            return False
        self.at += 1
        return True

    def expect(self, sign: str) -> None:
        if not self.skip(sign):
            raise CelSyntaxError(f"{sign!r} is missing before {self.tokens[self.at][1]!r}")

    def ternary(self, depth: int) -> Node:
        if depth > _DEEPEST:
            raise CelSyntaxError("nested too deep")
        condition = self.binary(0, depth)
        if not self.skip("?"):
            return condition
        one = self.ternary(depth + 1)
        self.expect(":")
        return Node("?:", parts=(condition, one, self.ternary(depth + 1)))

    def binary(self, level: int, depth: int) -> Node:
        """Read operators of this level and of those that bind tighter."""
        left = self.unary(depth)
        while (found := _LEVEL.get(self.sign, -1)) >= level:
            _, sign = self.take()
            left = Node(sign, parts=(left, self.binary(found + 1, depth)))
        return left

    def unary(self, depth: int) -> Node:
        if depth > _DEEPEST:
            raise CelSyntaxError("nested too deep")
        if self.sign in ("!", "-"):
            _, sign = self.take()
            return Node(f"unary{sign}", parts=(self.unary(depth + 1),))
        return self.member(depth)

    def member(self, depth: int) -> Node:
        node = self.primary(depth)
        while True:
            if self.skip("."):
                kind, name = self.take()
                if kind != "name":
                    raise CelSyntaxError(f"{name!r} is no name")
                arguments = self.arguments(depth) if self.skip("(") else None
                kind = "field" if arguments is None else "method"
                node = Node(kind, name, (node, *(arguments or ())))
            elif self.skip("["):
                node = Node("index", parts=(node, self.ternary(depth + 1)))
                self.expect("]")
            else:
                return node

    def arguments(self, depth: int, end: str = ")") -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.skip(end):
            found.append(self.ternary(depth + 1))
            if self.sign != end:
                self.expect(",")
        return tuple(found)

    def primary(self, depth: int) -> Node:
        kind, value = self.take()
        if kind == "text":
            return Node("value", _text(value))
        if kind == "number":
            plain = value.rstrip("u")
            return Node("value", float(plain) if "." in plain else int(plain, 0))
        if kind == "name":
            return self.named(value, depth)
        if value == "(":
            node = self.ternary(depth + 1)
            self.expect(")")
            return node
        if value == "[":
            return Node("list", parts=self.arguments(depth, "]"))
        if value == "{":
            return self.mapping(depth)
        raise CelSyntaxError(f"unexpected {value!r}")

    def named(self, name: str, depth: int) -> Node:
        if name in _LITERALS:
            return Node("value", _LITERALS[name])
        if self.skip("("):
            return Node("call", name, self.arguments(depth))
        return Node("name", name)

    def mapping(self, depth: int) -> Node:
        parts: list[Node] = []
        while not self.skip("}"):
            parts.append(self.ternary(depth + 1))
            self.expect(":")
            parts.append(self.ternary(depth + 1))
            if self.sign != "}":
                self.expect(",")
        return Node("map", parts=tuple(parts))


def _text(token: str) -> str:
    raw = token[0] in "rR"
    body = token[1:] if raw else token
    quote = body[:3] if body[:3] in ('"""', "'''") else body[0]
    inner = body[len(quote) : -len(quote)]
    if raw or "\\" not in inner:
        return inner
    try:
        return str(ast.literal_eval(token))
    except (SyntaxError, ValueError) as error:
        raise CelSyntaxError(f"unreadable text {token}") from error
