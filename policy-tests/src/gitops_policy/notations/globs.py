"""The globs of Argo CD (gobwas/glob): `*`, `**`, `?`, `[...]` and `{a,b}`."""

from __future__ import annotations

import re
from functools import cache


def matches(pattern: str, value: str, separator: str = "") -> bool:
    """Say whether a glob matches; with a separator, `*` and `?` stop at it and `**` does not."""
    return _compiled(pattern, separator).fullmatch(value) is not None


@cache
def _compiled(pattern: str, separator: str) -> re.Pattern[str]:
    one = f"[^{re.escape(separator)}]" if separator else "."
    parts = re.split(r"(\*\*|\*|\?|\[!?[^\]]+\]|\{|\}|,)", pattern)
    found, depth = [], 0
    for part in parts:
        depth += (part == "{") - (part == "}" and depth > 0)
        found.append(_translated(part, one, alternative=depth > 0 or part == "}"))
    try:
        return re.compile("".join(found), re.DOTALL)
    except re.error:
        return re.compile(re.escape(pattern))


def _translated(part: str, one: str, *, alternative: bool) -> str:
    if part == "**":
        return ".*"
    if part == "*":
        return f"{one}*"
    if part == "?":
        return one
    if part.startswith("[") and part.endswith("]") and len(part) > 2:
        inner = part[1:-1]
        negated = inner.startswith("!")
        return "[" + ("^" if negated else "") + inner.removeprefix("!").replace("\\", "\\\\") + "]"
    if alternative and part in ("{", "}", ","):
        return {"{": "(?:", "}": ")", ",": "|"}[part]
    return re.escape(part)
