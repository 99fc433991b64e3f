"""Regular expressions in matchers: needed, and written as Prometheus reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.argo.analyses import UNKNOWN
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import CARRIERS, each_once, expressions
from gitops_policy.registry import rule

_BASICS = "https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors"
_SPECIAL = re.compile(r"[.?+*|()\[\]{}^$\\]")


def _regexps(resource: Resource) -> Iterator[tuple[tuple[str | int, ...], str, str, str]]:
    """Yield path, label, operator and pattern of each regular expression, each once."""
    for expression in expressions(resource):
        seen = set()
        for selector in promql.selectors(expression.tree):
            for matcher in selector.matchers.matchers:
                operator, pattern = str(matcher.op), str(matcher.value)
                regular = operator in (promql.REGEXP, promql.NOT_REGEXP)
                found = (str(matcher.name), operator, pattern)
                if regular and UNKNOWN not in pattern and found not in seen:
                    seen.add(found)
                    yield (expression.path, *found)


@rule(
    id="regexp-is-needed",
    title="A regular expression has a pattern",
    severity="info",
    rationale="Equality says the same, is faster, and a dot in a plain value is not any character.",
    references=[_BASICS],
    kinds=CARRIERS,
    known_as=["pint:promql/regexp"],
)
@each_once
def regexp_is_needed(resource: Resource) -> Iterator[Problem]:
    """`=~` and `!~` stand where `=` and `!=` would not do."""
    for path, label, operator, pattern in _regexps(resource):
        plain = pattern.removeprefix("^").removesuffix("$")
        plain = "" if plain in ("()", "(?:)") else plain
        wanted = operator == promql.REGEXP
        if not _SPECIAL.search(plain):
            fix = f'write {label}{"=" if wanted else "!="}"{plain}"'
            yield resource.problem(path, f"the expression of {label} has no pattern", fix)
        elif plain == ".*":
            what = "may be anything, or missing" if wanted else "can have no value at all"
            yield resource.problem(path, f"{label} {what}", "remove the matcher")
        elif plain == ".+" and not wanted:
            yield resource.problem(path, f"{label} must be missing", f'write {label}=""')


@rule(
    id="regexp-not-anchored-twice",
    title="A regular expression has no anchors",
    severity="info",
    rationale="Prometheus anchors it itself: whoever writes ^ thinks that it does not.",
    references=[_BASICS],
    kinds=CARRIERS,
    known_as=["pint:promql/regexp"],
)
@each_once
def regexp_not_anchored_twice(resource: Resource) -> Iterator[Problem]:
    """No pattern begins with ^ or ends with a plain $."""
    for path, label, _, pattern in _regexps(resource):
        end = pattern.endswith("$") and not pattern.endswith("\\$")
        if pattern.startswith("^") or end:
            yield resource.problem(
                path, f"{label}: {pattern} is anchored twice", "leave out ^ and $"
            )
