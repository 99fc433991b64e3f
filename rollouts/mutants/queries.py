"""Mistakes in what is measured: label matchers, windows, functions and operators of a query."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from rollouts.mutants.decisions import other_numbers, other_times, put, spots
from rollouts.mutants.mutation import Found, operator, query, with_query
from rollouts.mutants.promql import (
    Matcher,
    Selector,
    Token,
    masked,
    replace_selector,
    selectors,
    set_operators,
    tokens,
)

_NEGATED = {"=": "!=", "!=": "=", "=~": "!~", "!~": "=~"}
_FUNCTIONS = {
    "sum": ("max", "count"),
    "max": ("min", "sum"),
    "min": ("max",),
    "avg": ("sum",),
    "count": ("sum",),
    "increase": ("rate",),
    "rate": ("increase",),
    "changes": ("resets",),
    "min_over_time": ("max_over_time",),
    "max_over_time": ("min_over_time", "last_over_time"),
    "sum_over_time": ("max_over_time",),
    "avg_over_time": ("sum_over_time",),
    "last_over_time": ("min_over_time",),
    "present_over_time": ("sum_over_time",),
    "clamp_min": ("clamp_max",),
    "clamp_max": ("clamp_min",),
    "sort_desc": ("sort",),
    "sqrt": ("abs",),
    "ln": ("exp",),
    "abs": ("sgn",),
    "absent": ("present_over_time",),
}
_OPERATORS = {
    "+": ("-",),
    "-": ("+",),
    "*": ("/",),
    "/": ("*",),
    ">": (">=", "<"),
    ">=": (">", "<"),
    "<": ("<=", ">"),
    "<=": ("<", ">"),
    "==": ("!=",),
    "!=": ("==",),
}
_WINDOW = re.compile(r"\[([^\]:]+)(:[^\]]*)?\]")
#: Before what only has to be there: which function finds a sample there makes no difference.
_EXISTS = re.compile(r"and on\([^)]*\)\s*(sum\(\s*)?$")
_OFFSET = re.compile(r"\s*\boffset\s+(\{\{args\.[\w-]+\}\}|\w+)")


def _name(selector: Selector) -> str:
    """Short name of a selector: the metric, whose it is, and which of its series."""
    known = ("namespace", "endpoint", "rollouts_pod_template_hash")
    whose = "stable" if "stable-hash" in str(selector) else "canary"
    rest = [str(m).replace('"', "") for m in selector.matchers if m.name not in known]
    return " ".join([selector.metric, whose, *rest])


@operator("matcher")
def matcher(document: dict[str, Any]) -> Found:
    """Drop a label matcher, turn it round, or give it another value, wherever it is repeated."""
    text = query(document)
    names: Counter[str] = Counter()
    for selector in selectors(text):
        name = _name(selector)
        names[name] += 1
        name += f" ({names[name]})" if names[name] > 1 else ""
        for i, one in enumerate(selector.matchers):
            for what, new in _other_matchers(one):
                kept = (*selector.matchers[:i], *new, *selector.matchers[i + 1 :])
                changed = replace_selector(text, selector, Selector(selector.metric, kept))
                yield f"{name}:{one.name}{one.operator} {what}", with_query(document, changed)


def _other_matchers(one: Matcher) -> Iterator[tuple[str, tuple[Matcher, ...]]]:
    yield "dropped", ()
    yield "negated", (replace(one, operator=_NEGATED[one.operator]),)
    yield "other", (replace(one, value="other"),)
    if one.value in ("{{args.canary-hash}}", "{{args.stable-hash}}"):
        swapped = {"canary": "stable", "stable": "canary"}
        value = re.sub("canary|stable", lambda m: swapped[m[0]], one.value)
        yield "swapped", (replace(one, value=value),)
    for part in one.value.split("|") if "|" in one.value else ():
        yield f"only {part}", (replace(one, value=part),)


def _value(text: str, document: dict[str, Any]) -> str:
    """Return the default of `{{args.x}}`, or a duration as it is written."""
    for argument in document["spec"].get("args", ()):
        text = text.replace(f"{{{{args.{argument['name']}}}}}", argument.get("value", ""))
    return text


@operator("window")
def window(document: dict[str, Any]) -> Found:
    """Look back twice as long, or half as long."""
    text = query(document)
    for i, match in spots(masked(text), _WINDOW):
        for new in other_times(_value(match[1], document)):
            changed = put(text, match, f"[{new}{match[2] or ''}]")
            yield f"{i} [{match[1]}] as {new}", with_query(document, changed)


@operator("offset")
def offset(document: dict[str, Any]) -> Found:
    """Drop an offset, double it, halve it."""
    text = query(document)
    for i, match in spots(masked(text), _OFFSET):
        yield f"{i} dropped", with_query(document, put(text, match, ""))
        for new in other_times(_value(match[1], document)):
            changed = put(text, match, f" offset {new}")
            yield f"{i} {match[1]} as {new}", with_query(document, changed)


@operator("at-end")
def at_end(document: dict[str, Any]) -> Found:
    """Forget that a value is the one at the moment of the look."""
    text = query(document)
    for i, match in spots(masked(text), re.compile(r" @ end\(\)")):
        yield f"{i} dropped", with_query(document, put(text, match, ""))


def _exchange(document: dict[str, Any], kind: str, table: dict[str, tuple[str, ...]]) -> Found:
    text, number = query(document), 0
    for token in tokens(text):
        if token.kind == kind and token.text in table and not _in_selector(text, token):
            number += 1
            exists = kind == "word" and _EXISTS.search(text[: token.start])
            for new in () if exists else table[token.text]:
                changed = text[: token.start] + new + text[token.end :]
                yield f"{number} {token.text} as {new}", with_query(document, changed)


def _in_selector(text: str, token: Token) -> bool:
    before = text[: token.start]
    return before.replace("{{", "").count("{") > before.replace("}}", "").count("}")


@operator("function")
def function(document: dict[str, Any]) -> Found:
    """Aggregate otherwise, or take another function of time."""
    yield from _exchange(document, "word", _FUNCTIONS)


@operator("arithmetic")
def arithmetic(document: dict[str, Any]) -> Found:
    """Take one operator for its neighbour."""
    yield from _exchange(document, "operator", _OPERATORS)


@operator("query-number")
def query_number(document: dict[str, Any]) -> Found:
    """Mistake a number that is written out in a query."""
    numbers = {t.text: tuple(other_numbers(t.text)) for t in _numbers(query(document))}
    yield from _exchange(document, "number", numbers)


def _numbers(text: str) -> Iterator[Token]:
    yield from (token for token in tokens(text) if token.kind == "number")


@operator("branch")
def branch(document: dict[str, Any]) -> Found:
    """Leave out one side of `or`, or what `and` and `unless` ask for."""
    text = query(document)
    for i, (token, left, right) in enumerate(set_operators(text), start=1):
        cut = text[: token.start] + text[right[1] :]
        yield f"{i} right of {token.text}", with_query(document, cut)
        if token.text == "or":
            cut = text[: left[0]] + text[right[0] :]
            yield f"{i} left of or", with_query(document, cut)
        other = {"or": "and", "and": "unless", "unless": "and"}[token.text]
        cut = text[: token.start] + other + text[token.end :]
        yield f"{i} {token.text} as {other}", with_query(document, cut)


@operator("grouping")
def grouping(document: dict[str, Any]) -> Found:
    """Forget by which labels is summed."""
    text = query(document)
    for i, match in spots(masked(text), re.compile(r" by \([^)]*\)")):
        yield f"{i}{match[0]} dropped", with_query(document, put(text, match, ""))
