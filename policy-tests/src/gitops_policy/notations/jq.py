"""Whether a text can be a jq path expression, as Argo CD compiles it: `del(<expression>)`."""

from __future__ import annotations

_PAIRS = {")": "(", "]": "[", "}": "{"}


def is_jq(expression: str) -> bool:
    """Say whether an expression starts as a path does, and closes what it opens.

    Bad are other starts (`/spec`, `spec`), empty steps (`..`), a dot at the end, open brackets.
    """
    plain = expression.strip()
    if not plain.startswith((".", "(", "del(", "path(", "select(", "first(", "paths(", "getpath(")):
        return False
    bare = _without_texts(plain)
    if bare is None or not _balanced(bare) or (bare.endswith((".", "|", ",")) and bare != "."):
        return False
    return "/" not in bare.replace("//", "") and "..." not in bare and ".." not in bare[1:]


def _without_texts(expression: str) -> str | None:
    """Return an expression with its string literals emptied; None if one does not end."""
    parts, inside, skip = [], False, False
    for letter in expression:
        if inside and not skip:
            skip = letter == "\\"
            inside = letter != '"'
            if inside:
                continue
        elif inside:
            skip = False
            continue
        elif letter == '"':
            inside = True
        parts.append(letter)
    return None if inside else "".join(parts)


def _balanced(expression: str) -> bool:
    opened: list[str] = []
    for letter in expression:
        if letter in "([{":
            opened.append(letter)
        elif letter in _PAIRS and (not opened or opened.pop() != _PAIRS[letter]):
            return False
    return not opened
