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
     "parseDuration", "urlQueryEscape", "tmpl", "and", "call", "html", "index", "slice", "js",
     "len", "not", "or", "print", "printf", "println", "urlquery", "eq", "ne", "lt", "le", "gt",
     "ge", "true", "false", "nil")
)  # fmt: skip
_OPENING = frozenset({"if", "range", "with", "define", "block"})
_WORDS = _OPENING | {"else", "end", "template", "break", "continue"}
_STRING = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|\'(?:\\.|[^\'\\\n])\'')
_LABEL = re.compile(r"(?:\$labels|\.Labels)\.([A-Za-z_]\w*)")
_INDEXED = re.compile(r'index\s+(?:\$labels|\.Labels)\s+"([^"]+)"')
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
    depth = 0
    variables = {"$", "$labels", "$value", "$externalLabels", "$externalURL"}
    for action in found:
        words = action.split(None, 1)
        first = words[0] if words else ""
        if not action:
            yield "an action is empty"
        depth += (first in _OPENING) - (first == "end")
        if depth < 0 or (first == "else" and depth < 1):
            yield f"{first} without if, range or with"
            return
        yield from _names(action, variables)
    if depth > 0:
        yield "if, range or with is not ended"


def _names(action: str, variables: set[str]) -> Iterator[str]:
    if action.startswith("/*"):
        return
    code = _STRING.sub('""', action)
    variables |= {f"${name}" for name in re.findall(r"\$(\w+)\s*(?:,\s*\$\w+\s*)?:?=", code)}
    variables |= {f"${name}" for name in re.findall(r",\s*\$(\w+)\s*:?=", code)}
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
