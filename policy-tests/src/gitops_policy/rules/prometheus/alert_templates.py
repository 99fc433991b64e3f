"""Templates of alerts: they expand, and read labels that the alert has."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import Path, mapping
from gitops_policy.findings import Severity
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.notations.go_templates import actions, flaws, labels_read
from gitops_policy.prometheus.expressions import RULES, RuleItem, rule_items
from gitops_policy.prometheus.result_labels import result_labels
from gitops_policy.prometheus.series import source
from gitops_policy.registry import rule
from gitops_policy.world import World

_TEMPLATES = "https://prometheus.io/docs/prometheus/latest/configuration/template_reference/"
_ALERTS = "https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/#templating"
# Prometheus adds it to every alert.
_ALWAYS = frozenset({"alertname"})


def _texts(item: RuleItem) -> Iterator[tuple[Path, str]]:
    for field in ("labels", "annotations"):
        for name, value in mapping(item.content, field).items():
            if isinstance(value, str) and item.alert:
                yield (*item.path, field, str(name)), value


@rule(
    id="alert-template-parses",
    title="The templates of an alert expand",
    severity="error",
    rationale="A template that fails is sent as its error message; one that does not parse keeps"
    " the whole file from loading.",
    references=[_TEMPLATES],
    kinds=[RULES],
    known_as=["pint:alerts/template", "promtool:check-rules"],
)
def alert_template_parses(resource: Resource) -> Iterator[Problem]:
    """Braces and blocks match, functions and variables are known."""
    for item in rule_items(resource):
        for path, value in _texts(item):
            for flaw in flaws(value):
                yield resource.problem(path, flaw, "correct the template")


@rule(
    id="alert-template-labels",
    title="The templates of an alert read labels that it has",
    severity="error",
    rationale="A label that was summed away is expanded to nothing: a page without a name.",
    references=[_ALERTS],
    kinds=[RULES],
    known_as=["pint:alerts/template"],
)  # fmt: skip
def alert_template_labels(resource: Resource, world: World) -> Iterator[Problem]:
    """Each `$labels.name` can be on a result of the expression."""
    labels_of = source(world)
    for item in rule_items(resource):
        tree = item.tree
        if tree is None or not item.alert:
            continue
        sides = [result_labels(side, labels_of) for side in _alternatives(tree)]
        for path, value in _texts(item):
            for name in labels_read(value):
                without = [side for side in sides if not side.may(name)]
                if name in _ALWAYS or not without or (len(without) < len(sides) and "if" in value):
                    continue
                part = "the expression" if without == sides else "one side of its `or`"
                yield resource.problem(
                    path,
                    f"{part} returns no label {name}",
                    f"aggregate by ({name}), or leave it out",
                    severity=None if without == sides else Severity.warning,
                )


def _alternatives(tree: promql.Node) -> Iterator[promql.Node]:
    """Yield the sides of an `or`, whose results have labels of their own."""
    node = promql.bare(tree)
    if promql.kind(node) == "BinaryExpr" and str(node.op) == "or":
        yield from _alternatives(node.lhs)
        yield from _alternatives(node.rhs)
    else:
        yield node


@rule(
    id="alert-value-humanized",
    title="A rate is shown in a form that people read",
    severity="info",
    rationale="0.00033333333333333335 on a phone says nothing.",
    references=[_TEMPLATES],
    kinds=[RULES],
    known_as=["pint:alerts/template"],
    default=False,
)
def alert_value_humanized(resource: Resource) -> Iterator[Problem]:
    """$value of a rate, irate or deriv goes through a humanize function or printf."""
    for item in rule_items(resource):
        tree = item.tree
        if tree is None or not promql.calls(tree, "rate", "irate", "deriv"):
            continue
        for path, value in _texts(item):
            if any(re.fullmatch(r"-?\s*(\$value|\.Value)\s*-?", action) for action in _read(value)):
                yield resource.problem(path, "the value is shown as it is", "use humanize")


def _read(template: str) -> list[str]:
    try:
        return actions(template)
    except ValueError:
        return []
