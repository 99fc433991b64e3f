"""Counters and gauges: each is asked by the functions that fit it, over enough samples."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import CARRIERS, Expression, each_once, expressions
from gitops_policy.prometheus.scraping import scrape_interval
from gitops_policy.prometheus.series import Knowledge, known
from gitops_policy.registry import rule
from gitops_policy.world import World

_FUNCTIONS = "https://prometheus.io/docs/prometheus/latest/querying/functions/"
_TYPES = "https://prometheus.io/docs/concepts/metric_types/"
_ORDER = "https://www.robustperception.io/rate-then-sum-never-sum-then-rate/"
_RATES = ("rate", "irate", "increase")
_OF_GAUGES = ("delta", "idelta", "deriv", "predict_linear", "double_exponential_smoothing")
# Functions and aggregations that do not look at how high a counter stands.
_SAFE_CALLS = frozenset(
    ("rate", "irate", "increase", "resets", "changes", "absent", "absent_over_time", "timestamp",
     "present_over_time", "count_over_time", "delta", "idelta", "deriv", "predict_linear")
)  # fmt: skip
_SAFE_AGGREGATIONS = frozenset({"count", "group", "count_values"})
_BETWEEN_TIMES = frozenset({"-", "==", "!=", "<", ">"})
_REVISION = "rollouts_pod_template_hash"
# kube-state-metrics knows no hash; it is the second last part of a pod's name.
_OF_ONE_REPLICA_SET = re.compile(r"\.\*-\w+-\.\*")


def _ranges(call: promql.Node) -> Iterator[promql.Node]:
    for argument in call.args:
        if promql.kind(promql.bare(argument)) in ("MatrixSelector", "SubqueryExpr"):
            yield promql.bare(argument)


@rule(
    id="rate-of-counter",
    title="rate, irate and increase are asked of counters",
    severity="error",
    rationale="They take each fall of a gauge for a restart and add the whole value to the result.",
    references=[_FUNCTIONS + "#rate", _TYPES],
    kinds=CARRIERS,
    known_as=["pint:promql/rate"],
)
@each_once
def rate_of_counter(resource: Resource, world: World) -> Iterator[Problem]:
    """The series inside rate, irate and increase is no gauge."""
    series = known(world)
    for expression in expressions(resource):
        for call in promql.calls(expression.tree, *_RATES):
            for matrix in _ranges(call):
                selector = getattr(matrix, "vector_selector", None)
                name = promql.metric(selector) if selector is not None else ""
                if series.type(name) in ("gauge", "summary"):
                    yield resource.problem(
                        expression.path,
                        f"{call.func.name}() of {name}, which is a gauge",
                        "use delta() or deriv(), or the counter behind it",
                    )


@rule(
    id="rate-before-sum",
    title="Rates are taken before sums, never after",
    severity="error",
    rationale="A sum hides the restart of one pod: its fall looks like a reset of all of them.",
    references=[_ORDER, _FUNCTIONS + "#rate"],
    kinds=CARRIERS,
    known_as=["pint:promql/rate"],
)
@each_once
def rate_before_sum(resource: Resource, world: World) -> Iterator[Problem]:
    """No rate, irate or increase of a subquery or recorded metric that aggregates counters."""
    series = known(world)
    for expression in expressions(resource):
        for call in promql.calls(expression.tree, *_RATES):
            if any(_summed(matrix, series) for matrix in _ranges(call)):
                yield resource.problem(
                    expression.path,
                    f"{call.func.name}() of what was aggregated before",
                    f"write sum({call.func.name}(...)): the rate of each series first",
                )


def _summed(matrix: promql.Node, series: Knowledge) -> bool:
    if promql.kind(matrix) == "SubqueryExpr":
        return promql.kind(promql.bare(matrix.expr)) == "AggregateExpr"
    recorded = series.recorded.get(promql.metric(matrix.vector_selector), ())
    trees = [item.tree for item in recorded if item.tree is not None]
    return any(promql.kind(promql.bare(tree)) == "AggregateExpr" for tree in trees)


@rule(
    id="range-covers-two-scrapes",
    title="A range holds at least two scrapes",
    severity="error",
    rationale="A rate needs two samples: over a shorter range there is no result, or now and then.",
    references=[_FUNCTIONS + "#rate", "https://www.robustperception.io/what-range-should-i-use-with-rate/"],
    kinds=CARRIERS,
    known_as=["pint:promql/rate"],
)  # fmt: skip
@each_once
def range_covers_two_scrapes(resource: Resource, world: World) -> Iterator[Problem]:
    """Ranges of rate, irate, increase, delta, deriv are twice the scrape interval or longer."""
    interval = scrape_interval(world) or world.config.scrape_seconds
    for expression in expressions(resource):
        for call in promql.calls(expression.tree, *_RATES, "delta", "idelta", "deriv"):
            for matrix in _ranges(call):
                span = matrix.range.total_seconds()
                if promql.kind(matrix) == "MatrixSelector" and span < 2 * interval:
                    yield resource.problem(
                        expression.path,
                        f"{call.func.name}() over {span:g} s, scraped every {interval:g} s",
                        f"use {2 * interval:g} s or more; four scrapes survive a failed one",
                    )


@rule(
    id="gauge-function-on-counter",
    title="delta, deriv and predict_linear are asked of gauges",
    severity="warning",
    rationale="A counter starts again at zero with its process, which looks like a huge fall.",
    references=[_FUNCTIONS + "#deriv", _TYPES],
    kinds=CARRIERS,
    known_as=["pint:promql/counter"],
)
@each_once
def gauge_function_on_counter(resource: Resource, world: World) -> Iterator[Problem]:
    """The series inside delta, idelta, deriv and predict_linear is no counter."""
    series = known(world)
    for expression in expressions(resource):
        for call in promql.calls(expression.tree, *_OF_GAUGES):
            for matrix in _ranges(call):
                selector = getattr(matrix, "vector_selector", None)
                name = promql.metric(selector) if selector is not None else ""
                if _counter(name, series):
                    yield resource.problem(
                        expression.path,
                        f"{call.func.name}() of {name}, which is a counter",
                        "use rate() or increase()",
                    )


def _counter(name: str, series: Knowledge) -> bool:
    """Say whether a series is a counter, by its type; by its name where nobody is known for it."""
    if name in series.recorded or series.metric(name) is not None:
        return series.type(name) == "counter"
    return name.endswith("_total")


@rule(
    id="counter-through-rate",
    title="The height of a counter decides nothing",
    severity="warning",
    rationale="It says how long a process has run: once above a threshold, it stays there.",
    references=[_TYPES + "#counter"],
    kinds=CARRIERS,
    known_as=["pint:promql/counter"],
)
@each_once
def counter_through_rate(resource: Resource, world: World) -> Iterator[Problem]:
    """Counters go through rate or increase, but in a gate over pods that the release started."""
    series = known(world)
    for expression in expressions(resource):
        if expression.purpose == "series":
            continue
        reported = set()
        for selector in _raw(expression.tree):
            name = promql.metric(selector)
            if (
                name in reported
                or not _counter(name, series)
                or _of_a_release(selector, expression)
            ):
                continue
            reported.add(name)
            yield resource.problem(
                expression.path,
                f"reads the plain value of counter {name}",
                f"write rate({name}[5m]) or increase({name}[5m])",
            )


def _of_a_release(selector: promql.Node, expression: Expression) -> bool:
    """Say whether a gate reads pods of one revision: their counters began with the release."""
    matchers = promql.matchers(selector)
    operator, _ = matchers.get(_REVISION, ("", ""))
    regular, pods = matchers.get("pod", ("", ""))
    named = regular == promql.REGEXP and _OF_ONE_REPLICA_SET.fullmatch(pods) is not None
    return expression.purpose == "gate" and (operator == promql.EQUAL or named)


def _raw(tree: promql.Node) -> Iterator[promql.Node]:
    """Yield the selectors whose plain value reaches the result."""
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        kind = promql.kind(node)
        if kind == "VectorSelector":
            yield node
        elif (kind == "Call" and node.func.name in _SAFE_CALLS) or (
            kind == "AggregateExpr" and str(node.op) in _SAFE_AGGREGATIONS
        ):
            continue
        elif kind == "BinaryExpr" and _only_left(node):
            waiting.append(node.lhs)
        elif not (kind == "BinaryExpr" and _difference_in_time(node)):
            waiting += promql.children(node)


def _only_left(node: promql.Node) -> bool:
    return str(node.op) in ("and", "unless")


def _difference_in_time(node: promql.Node) -> bool:
    """Say whether a metric is compared with itself at another time."""
    left, right = promql.selectors(node.lhs), promql.selectors(node.rhs)
    names = {promql.metric(selector) for selector in left + right}
    apart = any(selector.offset is not None for selector in left + right)
    return str(node.op) in _BETWEEN_TIMES and bool(left and right) and len(names) == 1 and apart
