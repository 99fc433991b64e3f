"""Tokens of the conditions of analyses, as expr-lang splits them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

NEGATABLE = frozenset({"in", "matches", "contains", "startsWith", "endsWith"})
_WORDS = frozenset({"not", "or", "and", "let", "if", "else"}) | NEGATABLE
_TOKEN = re.compile(
    r"""
    (?P<space>\s+|//[^\n]*|/\*.*?\*/)
  | (?P<number>0[xX][0-9a-fA-F_]+|0[oO][0-7_]+|0[bB][01_]+
      |(?:\d[\d_]*(?:\.(?!\.)[\d_]*)?|\.\d[\d_]*)(?:[eE][+-]?\d+)?)
  | (?P<string>"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`[^`]*`)
  | (?P<name>[A-Za-z_$][\w$]*)
  | (?P<operator>\*\*|&&|\|\||==|!=|<=|>=|\?\?|\?\.|\.\.|::|[-+*/%^<>=!?:|.,;\#])
  | (?P<bracket>[()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Token:
    """One token and the column (from 1) where it starts."""

    kind: str
    text: str
    column: int


def tokens(text: str) -> Iterator[Token]:
    """Split a condition, with a last token of kind `end`; raises ValueError with the column."""
    at = 0
    while at < len(text):
        found = _TOKEN.match(text, at)
        if found is None or found.lastgroup is None:
            raise ValueError(f"column {at + 1}: {text[at]!r} is not understood")
        kind, word = found.lastgroup, found.group()
        at = found.end()
        if kind == "number" and re.match(r"[\w$]", text[at : at + 1]):
            raise ValueError(f"column {found.start() + 1}: {word}{text[at]} is no number")
        if kind == "name" and word in _WORDS:
            kind = "operator"
        if kind != "space":
            yield Token(kind, word, found.start() + 1)
    yield Token("end", "the end", len(text) + 1)
