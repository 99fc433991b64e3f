"""Templates in alerts: what Go's text/template and Prometheus' functions accept."""

from __future__ import annotations

import re
from collections.abc import Iterator

# Prometheus' own, and those of text/template.
FUNCTIONS = frozenset(
    ("query", "first", "label", "value", "strvalue", "args", "reReplaceAll", "safeHtml", "match",
     "title", "toUpper", "toLower", "graphLink", "tableLink", "sortByLabel", "stripPort",
     "stripDomain", "humanize", "humanize1024", "humanizeDuration", "humanizePercentage",
     "humanizeTimestamp", "toTime", "toDuration", "now", "pathPrefix", "externalURL",
     "parseDuration", "urlQueryEscape", "and", "call", "html", "index", "slice", "js",
     "len", "not", "or", "print", "printf", "println", "urlquery", "eq", "ne", "lt", "le", "gt",
     "ge", "true", "false", "nil")
)  # fmt: skip
_OPENING = frozenset({"if", "range", "with", "define", "block"})
_WORDS = _OPENING | {"else", "end", "template", "break", "continue"}
_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|\'(?:\\.|[^\'\\\n])\'')
_LABEL = re.compile(r"(?:\$labels|\.Labels)\.([A-Za-z_]\w*)")
_INDEXED = re.compile(r'index\s+(?:\$labels|\.Labels)\s+"([^"]+)"')
_STRAY = re.compile(r"[*/+<>\[\]&%!@#;~^?{}\\]")
_TOKEN = re.compile(r"[$.]?[A-Za-z_][\w.]*|\$|\.")


def actions(template: str) -> list[str]:
    """Return what stands between the braces; raises ValueError where they do not match."""
    found, at = [], 0
    while (start := template.find("{{", at)) >= 0:
        end = _closing(template, start + 2)
        found.append(template[start + 2 : end].removeprefix("- ").removesuffix(" -").strip())
        at = end + 2
    return found


def _closing(template: str, at: int) -> int:
    if template.startswith("/*", at):
        end = template.find("*/", at)
        at = len(template) if end < 0 else end + 2
    while at < len(template):
        if template.startswith("}}", at):
            return at
        quoted = _STRING.match(template, at)
        if quoted is None and template[at] in "\"`'":
            raise ValueError("a quoted string does not end")
        at = quoted.end() if quoted else at + 1
    raise ValueError("{{ is not closed")


def flaws(template: str) -> Iterator[str]:
    """Yield why Prometheus would not expand a template."""
    try:
        found = actions(template)
    except ValueError as error:
        yield str(error)
        return
    variables = {"$", "$labels", "$value", "$externalLabels", "$externalURL"}
    yield from _blocks([action.split(None, 1) for action in found])
    for action in found:
        yield from _names(action, variables)


def _blocks(found: list[list[str]]) -> Iterator[str]:
    """Yield where if, range and with do not fit their else and end."""
    opened: list[str] = []
    for words in found:
        first = words[0] if words else ""
        if not words:
            yield "an action is empty"
        elif first in _OPENING:
            opened.append(first)
            if len(words) == 1:
                yield f"{first} has no condition"
        elif first in ("else", "end") and not opened:
            yield f"{first} without if, range or with"
            return
        elif first == "end":
            opened.pop()
        elif first in ("break", "continue") and "range" not in opened:
            yield f"{first} outside of range"
    if opened:
        yield f"{opened[-1]} is not ended"


def _names(action: str, variables: set[str]) -> Iterator[str]:
    if action.startswith("/*"):
        return
    code = _STRING.sub('""', action)
    variables |= {f"${name}" for name in re.findall(r"\$(\w+)\s*(?:,\s*\$\w+\s*)?:?=", code)}
    variables |= {f"${name}" for name in re.findall(r",\s*\$(\w+)\s*:?=", code)}
    if stray := _STRAY.search(code):
        yield f"{stray.group()!r} is no operator of a template"
    if code.count("(") != code.count(")"):
        yield f"parentheses do not match in {{{{{action}}}}}"
    for found in _TOKEN.finditer(code):
        token = found.group()
        if token.startswith("$"):
            name = token.split(".")[0]
            if name not in variables:
                yield f"variable {name} is not defined"
        elif not (token.startswith(".") or token in FUNCTIONS | _WORDS):
            yield f"function {token} is not defined"


def labels_read(template: str) -> list[str]:
    """Return the labels of the alert that a template reads; none where it does not parse."""
    try:
        found = actions(template)
    except ValueError:
        return []
    nested = 0
    names: list[str] = []
    for action in found:
        first = action.split(None, 1)[0] if action else ""
        # Inside range and with, the dot is something else.
        code = action if not nested else action.replace(".Labels", "")
        names += _LABEL.findall(_STRING.sub('""', code))
        names += _INDEXED.findall(code)
        nested += (first in _OPENING) - (first == "end")
    return list(dict.fromkeys(names))
