"""Templates of alerts: they expand, and read labels that the alert has."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.expressions import RULES, RuleItem, rule_items
from gitops_policy.fields import Path, mapping
from gitops_policy.go_templates import flaws, labels_read
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.result_labels import result_labels
from gitops_policy.series import source
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
        labels = result_labels(tree, labels_of)
        for path, value in _texts(item):
            for name in labels_read(value):
                if not labels.may(name) and name not in _ALWAYS:
                    yield resource.problem(
                        path,
                        f"the expression returns no label {name}",
                        f"aggregate by ({name}), or leave it out",
                    )
