"""Tokens of the expr-lang subset in which conditions are written."""

import re
from dataclasses import dataclass
from typing import Literal

from canary_gate.errors import RefusedError

Kind = Literal["int", "float", "string", "name", "operator", "end"]

_TOKEN = re.compile(
    r"""
    (?P<space>\s+)
  | (?P<float>(?:\d+\.\d+|\.\d+)(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
  | (?P<int>\d+)
  | (?P<string>"[^"\\\n]*"|'[^'\\\n]*')
  | (?P<name>[A-Za-z_]\w*)
  | (?P<operator>\*\*|&&|\|\||==|!=|<=|>=|[-+*/%^<>!?:()\[\]{},\#])
    """,
    re.VERBOSE,
)
_CONTINUES_NUMBER = re.compile(r"[\w.]")


@dataclass(frozen=True)
class Token:
    """One token and the column (from 1) where it starts."""

    kind: Kind
    text: str
    column: int


def tokens(text: str) -> list[Token]:
    """Split a condition into tokens, the last one of kind `end`.

    Raises RefusedError at the first character outside the subset.
    """
    found: list[Token] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None or match.lastgroup is None:
            raise RefusedError(f"column {at + 1}: {text[at]!r} is not understood")
        kind = match.lastgroup
        at = match.end()
        if kind == "space":
            continue
        if kind in ("int", "float") and _CONTINUES_NUMBER.match(text, at):
            raise RefusedError(f"column {match.start() + 1}: number is not understood")
        found.append(Token(kind, match.group(), match.start() + 1))  # type: ignore[arg-type]
    found.append(Token("end", "the end", len(text) + 1))
    return found
