"""Mistakes in what decides: conditions, limits, times and the defaults of arguments."""

import re
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

from canary_gate import durations

from rollouts.cases import Document
from rollouts.mutants.mutation import Found, metric, operator, with_metric

CONDITIONS = ("successCondition", "failureCondition")
_COMPARISON = re.compile(r"(?<![=<>!])(<=|>=|==|!=|<|>)(?!=)")
_COMPARED = {
    "<=": ("<", ">"),
    "<": ("<=", ">="),
    ">=": (">", "<"),
    ">": (">=", "<="),
    "==": ("!=", ">=", "<="),
    "!=": ("==",),
}
_NUMBER = re.compile(r"(?<![\w.\[\"-])(\d+(?:\.\d+)?)(?![\w.\]\"-])")
_EXCHANGED = {
    "result[0]": "result[1]",
    "result[1]": "result[0]",
    "!isNaN": "isNaN",
    "!isInf": "isInf",
    " && ": " || ",
    " || ": " && ",
    " + ": " - ",
    " - ": " + ",
    " * ": " / ",
    " / ": " * ",
    " ** ": " * ",
}
_LIMITS = (
    "count",
    "failureLimit",
    "inconclusiveLimit",
    "consecutiveErrorLimit",
    "consecutiveSuccessLimit",
)


def spots(text: str, pattern: re.Pattern[str]) -> Iterator[tuple[int, re.Match[str]]]:
    """Number what a pattern finds in a text."""
    yield from enumerate(pattern.finditer(text), start=1)


def put(text: str, match: re.Match[str], new: str) -> str:
    """Put something in the place of what was found, there or in a text of the same length."""
    return text[: match.start()] + new + text[match.end() :]


def other_numbers(text: str) -> list[str]:
    """Return what a number may be mistaken for: its double and its half, one for zero."""
    number = float(text)
    return [f"{number * 2:.10g}", f"{number / 2:.10g}"] if number else ["1"]


def other_times(text: str) -> list[str]:
    """Return the double and the half of a duration."""
    seconds = durations.seconds(text)
    return [f"{seconds * 2:g}s", f"{max(1, seconds // 2):g}s"]


def conditions(document: Document) -> Iterator[tuple[str, str]]:
    """Yield the conditions of a template with their spaces made even."""
    for field in CONDITIONS:
        if text := metric(document).get(field):
            yield field, " ".join(text.split())


@operator("drop-conjunct")
def drop_conjunct(document: dict[str, Any]) -> Found:
    """Leave out one thing that a condition asks for; a whole condition too."""
    for field, text in conditions(document):
        parts = text.split(" && ")
        for i, part in enumerate(parts):
            rest = " && ".join(parts[:i] + parts[i + 1 :])
            if rest.count("(") == rest.count(")"):
                yield f"{field}:{i + 1} {part[:24]}", with_metric(document, **{field: rest})
        yield f"{field}:whole", with_metric(document, **{field: None})


@operator("comparison")
def comparison(document: dict[str, Any]) -> Found:
    """Weaken or turn round a comparison."""
    for field, text in conditions(document):
        for i, match in spots(text, _COMPARISON):
            for new in _COMPARED[match[0]]:
                changed = with_metric(document, **{field: put(text, match, new)})
                yield f"{field}:{i} {match[0]} as {new}", changed


@operator("condition-number")
def condition_number(document: dict[str, Any]) -> Found:
    """Mistake a number that is written out in a condition."""
    for field, text in conditions(document):
        for i, match in spots(text, _NUMBER):
            for new in other_numbers(match[0]):
                changed = with_metric(document, **{field: put(text, match, new)})
                yield f"{field}:{i} {match[0]} as {new}", changed


@operator("condition-word")
def condition_word(document: dict[str, Any]) -> Found:
    """Take one word of a condition for its neighbour."""
    for field, text in conditions(document):
        for old, new in _EXCHANGED.items():
            for i, match in spots(text, re.compile(re.escape(old))):
                changed = with_metric(document, **{field: put(text, match, new)})
                yield f"{field}:{i} {old.strip()} as {new.strip()}", changed


@operator("swap-sides")
def swap_sides(document: dict[str, Any]) -> Found:
    """Take success for failure."""
    success, failure = (metric(document).get(field) for field in CONDITIONS)
    changed = with_metric(document, successCondition=failure, failureCondition=success)
    yield "conditions", changed


@operator("limit")
def limit(document: dict[str, Any]) -> Found:
    """Raise a limit, lower it, or leave it to its default."""
    for field in _LIMITS:
        value = metric(document).get(field)
        if value is None:
            yield f"{field}:1", with_metric(document, **{field: 1})
            continue
        yield f"{field}:default", with_metric(document, **{field: None})
        number = 10 if isinstance(value, str) else value
        for new in (number + 1, number * 2, number - 1):
            if new >= 0 and new != value:
                yield f"{field}:{new}", with_metric(document, **{field: new})


@operator("time")
def time(document: dict[str, Any]) -> Found:
    """Look at another time than the others, or without waiting."""
    for field in ("interval", "initialDelay"):
        if field in metric(document):
            yield f"{field}:none", with_metric(document, **{field: None})
            for new in ("1m", "{{args.scrape-interval}}", "{{args.cold-start}}"):
                yield f"{field}:{new}", with_metric(document, **{field: new})
        else:
            yield f"{field}:15s", with_metric(document, **{field: "15s"})


@operator("argument")
def argument(document: dict[str, Any]) -> Found:
    """Give an argument another default."""
    for i, found in enumerate(document["spec"].get("args", ())):
        for new in _other_values(found.get("value")):
            copy = deepcopy(document)
            copy["spec"]["args"][i]["value"] = new
            yield f"{found['name']}:{new}", copy


def _other_values(value: str | None) -> list[str]:
    if value in ("true", "false"):
        return [{"true": "false", "false": "true"}[value]]
    if value and re.fullmatch(r"-?\d+(\.\d+)?", value):
        return other_numbers(value)
    if value and re.fullmatch(r"\d+[smhd]", value):
        return other_times(value)
    return []
