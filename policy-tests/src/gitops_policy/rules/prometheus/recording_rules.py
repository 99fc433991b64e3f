"""Rule groups and recording rules: they load, are named as is usual, and are written once."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import (
    CARRIERS,
    RULES,
    RuleItem,
    each_once,
    expressions,
    rule_items,
)
from gitops_policy.prometheus.scraping import PROMETHEUS, seconds
from gitops_policy.prometheus.series import known
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_RECORDING = "https://prometheus.io/docs/prometheus/latest/configuration/recording_rules/"
_NAMING = "https://prometheus.io/docs/practices/rules/"
_STALE = "https://prometheus.io/docs/prometheus/latest/querying/basics/#staleness"
_FLAGS = "https://prometheus.io/docs/prometheus/latest/feature_flags/"
_OPERATORS = "https://prometheus.io/docs/prometheus/latest/querying/operators/"
_METRIC = re.compile(r"[a-zA-Z_:][a-zA-Z0-9_:]*")
_LABEL = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")
_LEVELS = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*:[a-zA-Z0-9_]+(:[a-zA-Z0-9_]+)?")
_LOOKBACK = 300
_SPOILT_BY_NAN = frozenset({"sum", "avg", "stddev", "stdvar"})
_FIVE_MINUTES = "5m"


@rule(
    id="rule-group-loads",
    title="Prometheus loads a rule group",
    severity="error",
    rationale="One rule that it refuses keeps the whole file, with all its alerts, from loading.",
    references=[_RECORDING],
    kinds=[RULES],
    known_as=["promtool:check-rules"],
)
def rule_group_loads(resource: Resource) -> Iterator[Problem]:
    """Groups have unique names; a rule is an alert or a record, with valid names and times."""
    names: Counter[str] = Counter()
    for i, group in entries(resource.spec, "groups"):
        name = text(group, "name")
        names[name] += 1
        if names[name] > 1 or not name:
            message = f"group name {name!r} stands twice" if name else "the group has no name"
            yield resource.problem(("spec", "groups", i, "name"), message, "name it")
    for item in rule_items(resource):
        for step, message in _refused(item):
            yield resource.problem((*item.path, *step), message, "correct it")


def _refused(item: RuleItem) -> Iterator[tuple[Path, str]]:
    if bool(item.alert) == bool(item.record):
        yield (), "a rule has either alert or record"
    if "expr" not in item.content or not item.query.strip():
        yield ("expr",), "the rule has no expression"
    if item.record:
        if not _METRIC.fullmatch(item.record):
            yield ("record",), f"{item.record!r} is no metric name"
        for name in filter(item.content.get, ("for", "keep_firing_for", "annotations")):
            yield (name,), f"a recording rule cannot have {name}"
    yield from _misnamed(item)


def _misnamed(item: RuleItem) -> Iterator[tuple[Path, str]]:
    for name in ("for", "keep_firing_for"):
        value = item.content.get(name)
        if value is not None and seconds(value) is None:
            yield (name,), f"{value!r} is no duration"
    for where in ("labels", "annotations"):
        for name in mapping(item.content, where):
            if not _LABEL.fullmatch(str(name)) or name == "__name__":
                yield (where, str(name)), f"{name!r} is no label name"


@rule(
    id="rule-group-interval",
    title="A rule group is evaluated at least every five minutes",
    severity="warning",
    rationale="A sample older than five minutes is stale: between two evaluations there is none.",
    references=[_STALE],
    kinds=[RULES],
    known_as=["pint:group/interval"],
)
def rule_group_interval(resource: Resource) -> Iterator[Problem]:
    """`interval` is at most 5m, or each alert keeps firing that long."""
    for i, group in entries(resource.spec, "groups"):
        interval = seconds(group.get("interval")) or 0
        if interval <= _LOOKBACK:
            continue
        items = [item for _, item in entries(group, "rules")]
        held = [seconds(item.get("keep_firing_for")) or 0 for item in items if "alert" in item]
        if any("record" in item for item in items) or not all(h >= interval for h in held):
            yield resource.problem(
                ("spec", "groups", i, "interval"),
                f"evaluated every {interval:g} s only",
                f"use {_FIVE_MINUTES} or less",
            )


@rule(
    id="recording-rule-name",
    title="A recorded metric is named level:metric:operations",
    severity="info",
    rationale="The name says which labels are left and what was done, and marks it as recorded.",
    references=[_NAMING],
    kinds=[RULES],
    known_as=["pint:rule/name"],
)
def recording_rule_name(resource: Resource) -> Iterator[Problem]:
    """The name of a record has two or three parts between colons."""
    for item in rule_items(resource):
        if item.record and _METRIC.fullmatch(item.record) and not _LEVELS.fullmatch(item.record):
            yield resource.problem(
                (*item.path, "record"),
                f"{item.record} is not level:metric:operations",
                "name it as in job:http_requests:rate5m",
            )


@rule(
    id="recording-rule-unique",
    title="A metric is recorded once",
    severity="error",
    rationale="Two rules of one name and labels overwrite each other; one sample is dropped.",
    references=[_RECORDING],
    kinds=BUILD,
    known_as=["pint:rule/duplicate"],
)  # fmt: skip
def recording_rule_unique(world: World) -> Iterator[Problem]:
    """No two rules record the same metric with the same labels from the same expression."""
    seen: dict[tuple[object, ...], list[tuple[Resource, RuleItem]]] = defaultdict(list)
    for resource in world.index.of_kind(RULES):
        for item in rule_items(resource):
            if item.record:
                labels = mapping(item.content, "labels").items()
                wanted = tuple(sorted((str(key), str(value)) for key, value in labels))
                tree = item.tree
                shown = tree.prettify() if tree is not None else item.query
                seen[(item.record, wanted, shown)].append((resource, item))
    for found in seen.values():
        for resource, item in found[1:]:
            yield resource.problem(
                (*item.path, "record"),
                f"{item.record} is recorded in {found[0][0].name} as well",
                "remove one",
            )


@rule(
    id="query-uses-recorded-metric",
    title="A query uses what is recorded already",
    severity="info",
    rationale="The recorded metric is cheaper, and cannot drift from a copy of its expression.",
    references=[_RECORDING],
    kinds=[RULES],
    known_as=["pint:promql/performance"],
)
def query_uses_recorded_metric(resource: Resource, world: World) -> Iterator[Problem]:
    """No part of an expression is the whole expression of a recording rule."""
    recorded = known(world).queries
    for expression in expressions(resource) if recorded else ():
        own = text(expression.item, "record")
        for node in promql.walk(expression.tree):
            if promql.kind(node) not in ("Call", "AggregateExpr", "BinaryExpr"):
                continue
            found = recorded.get(node.prettify())
            if found and found != own:
                yield resource.problem(
                    expression.path, f"computes {found} again", f"read {found} instead"
                )
                break


@rule(
    id="aggregation-survives-zero",
    title="A division by zero does not spoil a sum",
    severity="warning",
    rationale="One pod without requests yields NaN, and the sum or mean over all of them is NaN.",
    references=[_OPERATORS],
    kinds=CARRIERS,
    known_as=["pint:promql/nan"],
    default=False,
)
@each_once
def aggregation_survives_zero(resource: Resource) -> Iterator[Problem]:
    """Inside sum, avg, stddev and stdvar the divisor is a number, filtered or clamped."""
    for expression in expressions(resource):
        for node in promql.walk(expression.tree):
            if promql.kind(node) != "AggregateExpr" or str(node.op) not in _SPOILT_BY_NAN:
                continue
            inner = promql.bare(node.expr)
            quotient = promql.kind(inner) == "BinaryExpr" and str(inner.op) in "/%"
            if quotient and not _never_zero(inner.rhs):
                yield resource.problem(
                    expression.path,
                    f"{node.op}() over quotients whose divisor can be zero",
                    "divide by (... > 0), or divide the sums",
                )


def _never_zero(node: promql.Node) -> bool:
    node = promql.bare(node)
    kind = promql.kind(node)
    if kind == "NumberLiteral":
        return bool(node.val)
    if kind == "BinaryExpr":
        filters = str(node.op) in promql.COMPARISONS and not promql.returns_bool(node)
        return filters or str(node.op) in promql.SET_OPERATORS
    return kind == "Call" and str(node.func.name).startswith("clamp")


@rule(
    id="promql-stable",
    title="A query needs no experimental function",
    severity="warning",
    rationale="Without its feature flag Prometheus refuses the query, and the whole rule file.",
    references=[_FLAGS],
    kinds=CARRIERS,
    known_as=["pint:promql/features"],
)
@each_once
def promql_stable(resource: Resource, world: World) -> Iterator[Problem]:
    """Experimental functions appear only beside a Prometheus that has them enabled."""
    enabled = [
        str(flag)
        for prometheus in world.index.of_kind(*PROMETHEUS)
        for flag in field(prometheus.spec, "enableFeatures") or ()
    ]
    if "promql-experimental-functions" in enabled:
        return
    for expression in expressions(resource):
        for name in sorted(set(_experimental(expression.tree))):
            yield resource.problem(
                expression.path,
                f"{name} works with the feature flag promql-experimental-functions only",
                "use a stable function, or enable the flag",
            )


def _experimental(tree: promql.Node) -> Iterator[str]:
    for node in promql.walk(tree):
        name = ""
        if promql.kind(node) == "Call":
            name = str(node.func.name)
        elif promql.kind(node) == "AggregateExpr":
            name = str(node.op)
        if name in promql.EXPERIMENTAL:
            yield name
