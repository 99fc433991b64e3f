"""PromQL of alerts, recording rules and analyses: mistakes that parse."""

from __future__ import annotations

import re
from collections.abc import Iterator
from math import isnan

from gitops_policy.fields import entries, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import (
    CARRIERS,
    RULES,
    TRIGGERS,
    each_once,
    expressions,
    panel_queries,
    rule_items,
)
from gitops_policy.prometheus.result_labels import matching_of, result_labels
from gitops_policy.prometheus.series import known
from gitops_policy.registry import rule
from gitops_policy.world import World

_HISTOGRAMS = "https://prometheus.io/docs/practices/histograms/"
_QUERYING = "https://prometheus.io/docs/prometheus/latest/querying/operators/"
_BURN_RATES = "https://sre.google/workbook/alerting-on-slos/"
_COMPARISONS = {"<", "<=", ">", ">="}


@rule(
    id="promql-parses",
    title="The expression of an alert or recording rule parses",
    severity="error",
    rationale="One expression that does not parse keeps the whole rule file from loading.",
    references=["https://prometheus.io/docs/prometheus/latest/querying/basics/"],
    kinds=[RULES],
    known_as=["pint:promql/syntax", "promtool:check-rules"],
)
def promql_parses(resource: Resource) -> Iterator[Problem]:
    """Each `expr` is valid PromQL."""
    for item in rule_items(resource):
        try:
            promql.parse(item.query)
        except ValueError as error:
            place = (*item.path, "expr")
            yield resource.problem(place, f"it does not parse: {error}", "correct it")


@rule(
    id="trigger-query-parses",
    title="The PromQL of a KEDA trigger parses",
    severity="error",
    rationale="A trigger whose query fails never scales, and says so in the operator's log only.",
    references=["https://keda.sh/docs/latest/scalers/prometheus/"],
    kinds=TRIGGERS,
    known_as=["pint:promql/syntax"],
)
def trigger_query_parses(scaler: Resource) -> Iterator[Problem]:
    """The query of each prometheus trigger is valid PromQL."""
    for i, trigger in entries(scaler.spec, "triggers"):
        if text(trigger, "type") != "prometheus":
            continue
        try:
            promql.parse(text(trigger, "metadata", "query"))
        except ValueError as error:
            place = ("spec", "triggers", i, "metadata", "query")
            yield scaler.problem(place, f"it does not parse: {error}", "correct it")


@rule(
    id="dashboard-query-parses",
    title="The PromQL of a dashboard parses",
    severity="warning",
    rationale="A panel that shows an error is found when somebody needs it.",
    references=["https://prometheus.io/docs/prometheus/latest/querying/basics/"],
    kinds=["ConfigMap"],
    known_as=["pint:promql/syntax"],
)
@each_once
def dashboard_query_parses(config_map: Resource) -> Iterator[Problem]:
    """Each expression without variables of Grafana is valid PromQL."""
    for path, query in panel_queries(config_map):
        if not re.search(r"\$|\[\[", query):
            try:
                promql.parse(query)
            except ValueError as error:
                yield config_map.problem(path, f"{query!r} does not parse: {error}", "correct it")


@rule(
    id="ratio-of-aggregates",
    title="A ratio divides sums, not single series",
    severity="error",
    rationale="Series that still carry status match only themselves: their ratio is always 1.",
    references=[_QUERYING + "#vector-matching"],
    kinds=CARRIERS,
)
@each_once
def ratio_of_aggregates(resource: Resource) -> Iterator[Problem]:
    """A metric is not divided by itself where both sides keep the label that tells them apart."""
    for query in expressions(resource):
        for division in promql.divisions(query.tree):
            if promql.is_scalar(division.lhs) or promql.is_scalar(division.rhs):
                continue
            for name, label in _kept_apart(division):
                yield resource.problem(
                    query.path,
                    f"divides series of {name} that keep {label}: each meets only itself, and the"
                    " ratio is 1",
                    "write sum(...) / sum(...), by the same labels",
                )
                break


def _kept_apart(division: promql.Node) -> Iterator[tuple[str, str]]:
    """Yield a metric whose sides differ only in labels that both keep and that series meet by."""
    matching = matching_of(division)
    left, right = (result_labels(side) for side in (division.lhs, division.rhs))
    above, below = promql.selectors(division.lhs), promql.selectors(division.rhs)
    for one, other in ((x, y) for x in above for y in below if x.name and x.name == y.name):
        filters = promql.matchers(one), promql.matchers(other)
        apart = [
            label
            for label in sorted(filters[0].keys() | filters[1].keys())
            if filters[0].get(label) != filters[1].get(label)
        ]
        if all(matching.compares(n) and left.may(n) and right.may(n) for n in apart):
            yield from ((str(one.name), label) for label in apart[:1])


@rule(
    id="histogram-quantile-by-le",
    title="histogram_quantile gets buckets summed by le",
    severity="error",
    rationale="Without sum by (le) the quantile is one per pod and label, or there is none at all.",
    references=[_HISTOGRAMS + "#quantiles"],
    kinds=CARRIERS,
)
@each_once
def histogram_quantile_by_le(resource: Resource) -> Iterator[Problem]:
    """The buckets inside histogram_quantile are aggregated, and the aggregation keeps `le`."""
    for query in expressions(resource):
        for call in promql.calls(query.tree, "histogram_quantile"):
            if not any(str(s.name).endswith("_bucket") for s in promql.selectors(call)):
                continue
            buckets = list(call.args)[-1]
            single = query.purpose != "panel" and not promql.aggregated(buckets)
            if single or not result_labels(buckets).may("le"):
                yield resource.problem(
                    query.path,
                    "the buckets are not summed by le",
                    "write histogram_quantile(q, sum by (le) (rate(..._bucket[5m])))",
                )


@rule(
    id="latency-threshold-is-edge",
    title="A latency threshold is an edge of the histogram",
    severity="error",
    rationale="Between two edges a quantile is a guess, and a bucket that is no edge is empty.",
    references=[_HISTOGRAMS + "#errors-of-quantile-estimation"],
    kinds=CARRIERS,
)
@each_once
def latency_threshold_is_edge(resource: Resource, world: World) -> Iterator[Problem]:
    """`le` matchers and thresholds of quantiles are edges that the histogram has."""
    series = known(world)
    for query in expressions(resource):
        for name, value in [*_bucket_edges(query.tree), *_quantile_thresholds(query.tree)]:
            exported = series.metric(name)
            edges = exported.edges if exported else ()
            edges = edges or tuple(
                world.config.histogram_edges.get(name.removesuffix("_bucket"), ())
            )
            if edges and value not in edges and not isnan(value):
                yield resource.problem(
                    query.path,
                    f"{value:g} is no bucket edge of {name}",
                    f"use one of {', '.join(f'{edge:g}' for edge in edges)}",
                )


def _bucket_edges(tree: promql.Node) -> Iterator[tuple[str, float]]:
    """Yield the edges that `le` asks for, also where `le=~"0.5|1.0"` asks for several."""
    for selector in promql.selectors(tree):
        operator, value = promql.matchers(selector).get("le", ("", ""))
        asked = {"MatchOp.Equal": [value], "MatchOp.Re": value.split("|")}.get(operator, [])
        for edge in asked:
            if re.fullmatch(r"\d*\.?\d+", edge):
                yield str(selector.name), float(edge)


def _quantile_thresholds(tree: promql.Node) -> Iterator[tuple[str, float]]:
    for node in promql.walk(tree):
        if promql.kind(node) != "BinaryExpr" or str(node.op) not in _COMPARISONS:
            continue
        for side, other in ((node.lhs, node.rhs), (node.rhs, node.lhs)):
            call, number = promql.bare(side), promql.bare(other)
            literal = promql.kind(number) == "NumberLiteral" and promql.kind(call) == "Call"
            if literal and call.func.name == "histogram_quantile":
                yield from ((str(s.name), number.val) for s in promql.selectors(call))


@rule(
    id="burn-rate-has-two-windows",
    title="A budget burn alert looks at two windows",
    severity="error",
    rationale="One window is a static threshold: it pages late, and long after the burn has ended.",
    references=[_BURN_RATES],
    kinds=[RULES],
)
def burn_rate_has_two_windows(resource: Resource, world: World) -> Iterator[Problem]:
    """An alert called burn or budget joins a long and a short window."""
    recorded = {name: items[0].query for name, items in known(world).recorded.items()}
    for item in rule_items(resource):
        words = [item.alert, *map(str, mapping(item.content, "annotations").values())]
        if not item.alert or not re.search(r"burn|budget", " ".join(words), re.IGNORECASE):
            continue
        if len(_windows(item.query, recorded)) < 2:
            yield resource.problem(
                (*item.path, "expr"),
                "it is called a budget burn and looks at fewer than two windows",
                "join a long and a short window, e.g. 1h and 5m at 14.4 times the budget",
            )


def _windows(expression: str, recorded: dict[str, str]) -> set[float]:
    try:
        tree = promql.parse(expression)
    except ValueError:
        return {0, 1}
    found = promql.windows(tree)
    for selector in promql.selectors(tree):
        if selector.name in recorded:
            found |= _windows(recorded[selector.name], {})
    return found


@rule(
    id="throttling-by-periods",
    title="CPU throttling is throttled periods over periods",
    severity="error",
    rationale="Seconds over periods is no ratio: it grows with the number of cores.",
    references=["https://docs.kernel.org/scheduler/sched-bwc.html#statistics"],
    kinds=CARRIERS,
)
@each_once
def throttling_by_periods(resource: Resource) -> Iterator[Problem]:
    """container_cpu_cfs_throttled_seconds_total is not divided by periods."""
    for query in expressions(resource):
        for division in promql.divisions(query.tree):
            above = {s.name for s in promql.selectors(division.lhs)}
            below = {s.name for s in promql.selectors(division.rhs)}
            seconds, periods = (
                f"container_cpu_cfs_{name}_total" for name in ("throttled_seconds", "periods")
            )
            if seconds in above and periods in below:
                yield resource.problem(
                    query.path,
                    "divides throttled seconds by periods",
                    "divide container_cpu_cfs_throttled_periods_total by them",
                )
