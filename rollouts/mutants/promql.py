"""Tokens of a query as it stands in a template, with `{{args.x}}` still in it."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

_TOKEN = re.compile(
    r"(?P<argument>\{\{args\.[\w-]+\}\})"
    r'|(?P<string>"[^"]*")'
    r"|(?P<duration>\d+(?:ms|[smhd])\b)"
    r"|(?P<number>\d+(?:\.\d+)?)"
    r"|(?P<word>[a-zA-Z_][\w:]*)"
    r"|(?P<operator>=~|!~|!=|==|>=|<=|[-+*/<>=])"
    r"|(?P<bracket>[()\[\]{},:@])"
    r"|(?P<space>\s+)"
)
_SELECTOR = re.compile(r'([a-zA-Z_][\w:]*)\{((?:[^{}"]|"[^"]*")*)\}')
_MATCHER = re.compile(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"')
_OPEN, _CLOSE = "([{", ")]}"


@dataclass(frozen=True)
class Token:
    """A piece of a query; `depth` counts the brackets around it."""

    kind: str
    text: str
    start: int
    depth: int

    @property
    def end(self) -> int:
        """Where the next token starts."""
        return self.start + len(self.text)


def tokens(query: str) -> list[Token]:
    """Cut a query into tokens, spaces left out; raises ValueError at what is none."""
    found, position, depth = [], 0, 0
    while position < len(query):
        match = _TOKEN.match(query, position)
        if match is None:
            raise ValueError(f"no token of PromQL: {query[position : position + 20]!r}")
        kind, text = str(match.lastgroup), match.group()
        depth -= text in _CLOSE
        if kind != "space":
            found.append(Token(kind, text, position, depth))
        depth += text in _OPEN
        position = match.end()
    return found


def masked(query: str) -> str:
    """Blank out the strings of a query, each character by one."""
    return re.sub(r'"[^"]*"', lambda match: '"' + "_" * (len(match[0]) - 2) + '"', query)


@dataclass(frozen=True)
class Matcher:
    """A label matcher: name, operator, value."""

    name: str
    operator: str
    value: str

    def __str__(self) -> str:
        return f'{self.name}{self.operator}"{self.value}"'


@dataclass(frozen=True)
class Selector:
    """A metric with its matchers; a query may repeat it, and means the same each time."""

    metric: str
    matchers: tuple[Matcher, ...]

    def __str__(self) -> str:
        return f"{self.metric}{{{','.join(map(str, self.matchers))}}}"


def selectors(query: str) -> list[Selector]:
    """Return each selector of a query once, in order."""
    return list(dict.fromkeys(_read(match) for match in _SELECTOR.finditer(query)))


def _read(match: re.Match[str]) -> Selector:
    return Selector(match[1], tuple(Matcher(*m) for m in _MATCHER.findall(match[2])))


def replace_selector(query: str, old: Selector, new: Selector) -> str:
    """Put one selector in the place of another wherever it stands."""
    return _SELECTOR.sub(lambda m: str(new) if _read(m) == old else m[0], query)


_SETS = ("or", "and", "unless")


def set_operators(query: str) -> Iterator[tuple[Token, tuple[int, int], tuple[int, int]]]:
    """Yield each set operator with the extent of its left and of its right side."""
    found = tokens(query)
    for i, token in enumerate(found):
        if token.kind == "word" and token.text in _SETS:
            # `or` binds weakest; `and` and `unless` end at one another.
            ends = ("or",) if token.text == "or" else _SETS
            left = _reach(found[:i][::-1], token.depth, ends)
            right = _reach(found[i + 1 :], token.depth, ends)
            yield token, (left[-1].start, token.start), (token.end, right[-1].end)


def _reach(side: list[Token], depth: int, ends: tuple[str, ...]) -> list[Token]:
    reach = []
    for token in side:
        if token.depth < depth or (token.depth == depth and token.text in (",", *ends)):
            break
        reach.append(token)
    return reach
