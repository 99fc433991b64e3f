"""Alerts: they say how bad it is, wait before they fire, and fire on a condition."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from gitops_policy.fields import mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import RULES, RuleItem, rule_items
from gitops_policy.prometheus.result_labels import result_labels
from gitops_policy.prometheus.scraping import scrape_interval, seconds
from gitops_policy.prometheus.series import source
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_ALERTS = "https://prometheus.io/docs/prometheus/latest/configuration/alerting_rules/"
_PRACTICE = "https://prometheus.io/docs/practices/alerting/"
_SUMMARIES = ("summary", "description", "message")
_VALUE = re.compile(r"\$value\b|(?<![\w$.])\.Value\b")
_SAMPLING = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})


def _alerts(resource: Resource) -> Iterator[RuleItem]:
    return (item for item in rule_items(resource) if item.alert)


def _heartbeat(tree: promql.Node | None) -> bool:
    """Say whether an alert fires always, so that its silence is noticed."""
    return tree is not None and not promql.selectors(tree)


@rule(
    id="alert-has-severity",
    title="An alert has a severity",
    severity="error",
    rationale="Routes and inhibitions choose by severity; without it an alert reaches the default.",
    references=[_ALERTS, _PRACTICE],
    kinds=[RULES],
    known_as=["pint:rule/label"],
)
def alert_has_severity(resource: Resource) -> Iterator[Problem]:
    """The label severity stands on each alert, or on its group."""
    for item in _alerts(resource):
        labels = {**mapping(item.group, "labels"), **mapping(item.content, "labels")}
        if not text(labels, "severity"):
            yield resource.problem(
                (*item.path, "labels"), f"{item.alert} has no severity", "add labels.severity"
            )


@rule(
    id="alert-has-summary",
    title="An alert says in a sentence what is wrong",
    severity="error",
    rationale="A page with a name and labels alone is read at night by somebody else.",
    references=[_ALERTS, _PRACTICE],
    kinds=[RULES],
    known_as=["pint:alerts/annotation"],
)
def alert_has_summary(resource: Resource) -> Iterator[Problem]:
    """One of the annotations summary, description and message is written."""
    for item in _alerts(resource):
        annotations = mapping(item.content, "annotations")
        if not any(text(annotations, name).strip() for name in _SUMMARIES):
            yield resource.problem(
                (*item.path, "annotations"),
                f"{item.alert} has no summary",
                "add annotations.summary",
            )


@rule(
    id="alert-has-runbook",
    title="An alert leads to a runbook",
    severity="warning",
    rationale="Whoever is woken needs the first command, not a search.",
    references=[_PRACTICE],
    kinds=[RULES],
    known_as=["pint:alerts/annotation"],
)
def alert_has_runbook(resource: Resource) -> Iterator[Problem]:
    """The annotation runbook_url is written."""
    for item in _alerts(resource):
        found = text(item.content, "annotations", "runbook_url")
        if not found.strip() and not _heartbeat(item.tree):
            yield resource.problem(
                (*item.path, "annotations", "runbook_url"),
                f"{item.alert} has no runbook_url",
                "add annotations.runbook_url",
            )


@rule(
    id="alert-waits",
    title="An alert waits before it fires",
    severity="warning",
    rationale="Without `for`, one odd sample or a restart of Prometheus pages somebody.",
    references=[_ALERTS],
    kinds=[RULES],
    known_as=["pint:rule/for", "pint:alerts/for"],
)
def alert_waits(resource: Resource) -> Iterator[Problem]:
    """`for` is longer than nothing; alerts that fire always are left out."""
    for item in _alerts(resource):
        if not seconds(item.content.get("for")) and not _heartbeat(item.tree):
            yield resource.problem(
                (*item.path, "for"), f"{item.alert} fires at the first sample", "add for: 5m"
            )


@rule(
    id="absent-alert-waits",
    title="An alert on a missing metric waits for two scrapes",
    severity="warning",
    rationale="After a restart Prometheus evaluates before it has scraped: everything is absent.",
    references=["https://prometheus.io/docs/prometheus/latest/querying/functions/#absent"],
    kinds=[RULES],
    known_as=["pint:alerts/absent"],
)
def absent_alert_waits(resource: Resource, world: World) -> Iterator[Problem]:
    """An alert with absent() has a `for` of twice the scrape interval or longer."""
    least = 2 * (scrape_interval(world) or world.config.scrape_seconds)
    for item in _alerts(resource):
        tree = item.tree
        if tree is None or not promql.calls(tree, "absent"):
            continue
        if (seconds(item.content.get("for")) or 0) < least:
            yield resource.problem(
                (*item.path, "for"),
                f"{item.alert} takes a metric for missing at once",
                f"wait {least:g} s or longer",
            )


@rule(
    id="alert-compares",
    title="An alert's expression is a condition",
    severity="warning",
    rationale="Every series that an expression returns is an alert: without a comparison, always.",
    references=[_ALERTS],
    kinds=[RULES],
    known_as=["pint:alerts/comparison"],
)
def alert_compares(resource: Resource) -> Iterator[Problem]:
    """A comparison that filters, absent() or unless decides; `bool` returns 0 as well as 1."""
    for item in _alerts(resource):
        tree = item.tree
        if tree is not None and not _heartbeat(tree) and not _filters(tree):
            yield resource.problem(
                (*item.path, "expr"),
                f"{item.alert} fires as long as the series exists",
                "compare it, e.g. with > 0; a comparison with bool filters nothing",
            )


def _filters(tree: promql.Node) -> bool:
    """Say whether an expression returns something on a condition only."""
    node = promql.bare(tree)
    kind = promql.kind(node)
    if kind == "BinaryExpr":
        operator = str(node.op)
        if operator in promql.COMPARISONS:
            return not promql.returns_bool(node) or _filters(node.lhs) or _filters(node.rhs)
        if operator == "unless":
            return True
        sides = [_filters(side) for side in (node.lhs, node.rhs) if not promql.is_scalar(side)]
        return all(sides) if operator == "or" else any(sides)
    if kind == "Call" and node.func.name in ("absent", "absent_over_time"):
        return True
    return any(_filters(child) for child in promql.children(node))


@rule(
    id="alert-keeps-its-series",
    title="An alert does not sample its series",
    severity="warning",
    rationale="topk picks others at each look: alerts end and begin, and `for` starts again.",
    references=[_ALERTS],
    kinds=[RULES],
    known_as=["pint:promql/fragile"],
)
def alert_keeps_its_series(resource: Resource) -> Iterator[Problem]:
    """No topk, bottomk, limitk or limit_ratio whose labels reach the alert."""
    for item in _alerts(resource):
        sampled = next(iter(_sampled(item.tree)), "") if item.tree is not None else ""
        if sampled:
            yield resource.problem(
                (*item.path, "expr"),
                f"{item.alert} asks {sampled}() for some of the series",
                "alert on a threshold",
            )


def _sampled(tree: promql.Node) -> Iterator[str]:
    """Yield the sampling operators that no aggregation takes the labels from."""
    node = promql.bare(tree)
    if promql.kind(node) == "AggregateExpr":
        if str(node.op) in _SAMPLING:
            yield str(node.op)
        elif node.modifier is None:
            return
    for child in promql.children(node):
        yield from _sampled(child)


@rule(
    id="alert-labels-are-stable",
    title="The labels of an alert do not change with its value",
    severity="error",
    rationale="A label with the value makes a new alert at each sample: `for` is never reached.",
    references=["https://www.robustperception.io/dont-put-the-value-in-alert-labels/"],
    kinds=[RULES],
    known_as=["pint:alerts/template"],
)
def alert_labels_are_stable(resource: Resource) -> Iterator[Problem]:
    """No label's template reads the value."""
    for item in _alerts(resource):
        for name, value in mapping(item.content, "labels").items():
            if isinstance(value, str) and _reads_value(value):
                yield resource.problem(
                    (*item.path, "labels", name),
                    f"label {name} changes with the value",
                    "move it to an annotation",
                )


def _reads_value(template: str) -> bool:
    inside = [part.partition("}}")[0] for part in template.split("{{")[1:]]
    return any(_VALUE.search(part) for part in inside)


@rule(
    id="alert-unique",
    title="An alert is defined once",
    severity="warning",
    rationale="Two alerts of one name and labels overwrite each other and resolve each other.",
    references=[_ALERTS],
    kinds=BUILD,
    known_as=["pint:rule/duplicate"],
)
def alert_unique(world: World) -> Iterator[Problem]:
    """No two alerts have the same name, the same labels and the same labels of their result."""
    seen: dict[tuple[object, ...], list[tuple[Resource, RuleItem]]] = defaultdict(list)
    labels_of = source(world)
    for resource in world.index.of_kind(RULES):
        for item in _alerts(resource):
            labels = sorted((str(k), str(v)) for k, v in mapping(item.content, "labels").items())
            tree = item.tree
            made = sorted(result_labels(tree, labels_of).sure) if tree is not None else []
            wanted = sorted(_pinned(tree)) if tree is not None else []
            key = (item.alert, tuple(labels), tuple(made), tuple(wanted))
            seen[key].append((resource, item))
    for found in seen.values():
        for resource, item in found[1:]:
            other = found[0][0]
            if world.apart(other, resource):
                continue
            yield resource.problem(
                (*item.path, "alert"),
                f"{item.alert} with these labels is defined in {other.name} as well",
                "rename one, or tell them apart by severity",
            )


def _pinned(tree: promql.Node) -> Iterator[tuple[str, str, str]]:
    for selector in promql.selectors(tree):
        for matcher in selector.matchers.matchers:
            yield str(matcher.name), str(matcher.op), str(matcher.value)
