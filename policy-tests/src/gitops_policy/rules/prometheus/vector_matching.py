"""Label arithmetic: what is matched, kept and joined can be there."""

from __future__ import annotations

import operator
from collections.abc import Iterator

from gitops_policy.argo.analyses import UNKNOWN
from gitops_policy.fields import mapping
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import CARRIERS, RULES, each_once, expressions
from gitops_policy.prometheus.result_labels import NAME, Labels, Source, matching_of, result_labels
from gitops_policy.prometheus.scraping import PROMETHEUS, seconds
from gitops_policy.prometheus.series import source
from gitops_policy.registry import rule
from gitops_policy.world import World

_MATCHING = "https://prometheus.io/docs/prometheus/latest/querying/operators/#vector-matching"
_AGGREGATION = (
    "https://prometheus.io/docs/prometheus/latest/querying/operators/#aggregation-operators"
)
_OPERATORS = "https://prometheus.io/docs/prometheus/latest/querying/operators/"
_COMPARED = {
    "==": operator.eq, "!=": operator.ne, "<": operator.lt, "<=": operator.le,
    ">": operator.gt, ">=": operator.ge,
}  # fmt: skip
_SELECTORS = (
    "https://prometheus.io/docs/prometheus/latest/querying/basics/#instant-vector-selectors"
)


def _joins(tree: promql.Node) -> Iterator[promql.Node]:
    """Yield the operations between two vectors."""
    for node in tree.of_kind("BinaryExpr"):
        if not (promql.is_scalar(node.lhs) or promql.is_scalar(node.rhs)):
            yield node


@rule(
    id="vector-matching-possible",
    title="The two sides of an operation can meet",
    severity="error",
    rationale="Series meet only if their labels are equal: otherwise the result is always empty.",
    references=[_MATCHING],
    kinds=CARRIERS,
    known_as=["pint:promql/vector_matching", "pint:promql/impossible"],
)
@each_once
def vector_matching_possible(resource: Resource, world: World) -> Iterator[Problem]:
    """No side surely carries a matched label that the other side has lost."""
    labels_of = source(world)
    for expression in expressions(resource):
        for node in _joins(expression.tree):
            if str(node.op) == "or":
                continue
            sides = [result_labels(side, labels_of) for side in (node.lhs, node.rhs)]
            for label, side in matching_of(node).compared(*sides):
                other = "right" if side == "left" else "left"
                yield resource.problem(
                    expression.path,
                    f"{node.op}: the {side} side has label {label}, the {other} side never",
                    f"aggregate both sides by the same labels, or match on() without {label}",
                )
                break


@rule(
    id="aggregation-label-possible",
    title="A label that is grouped, joined or copied by is still there",
    severity="error",
    rationale="Grouping by a label that was summed away yields one series without it, silently.",
    references=[_AGGREGATION, _MATCHING],
    kinds=CARRIERS,
    known_as=["pint:promql/impossible"],
)
@each_once
def aggregation_label_possible(resource: Resource, world: World) -> Iterator[Problem]:
    """Labels of by, on, group_left and group_right can be on the series they are asked of."""
    labels_of = source(world)
    for expression in expressions(resource):
        for clause, label in sorted(set(_impossible(expression.tree, labels_of))):
            yield resource.problem(
                expression.path,
                f"{clause} ({label}): no series has the label {label} there",
                "keep the label in the inner aggregation, or drop it here",
            )


def _impossible(tree: promql.Node, labels_of: Source) -> Iterator[tuple[str, str]]:
    for node in tree.of_kind("AggregateExpr"):
        if promql.grouped_by(node):
            inner = result_labels(node.expr, labels_of)
            yield from (("by", n) for n in promql.grouped_by(node) if _lost(inner, n))
    for node in _joins(tree):
        matching = matching_of(node)
        left, right = (result_labels(side, labels_of) for side in (node.lhs, node.rhs))
        for label in matching.on or ():
            if _lost(left, label) and _lost(right, label):
                yield "on", label
        one = right if matching.grouped == "left" else left
        yield from ((f"group_{matching.grouped}", n) for n in matching.copied if _lost(one, n))


def _lost(labels: Labels, label: str) -> bool:
    return label != NAME and UNKNOWN not in label and not labels.may(label)


@rule(
    id="selector-possible",
    title="The matchers of a selector do not contradict each other",
    severity="error",
    rationale="A selector that no series can satisfy is always empty, and no alert comes of it.",
    references=[_SELECTORS],
    kinds=CARRIERS,
    known_as=["pint:promql/impossible"],
)
@each_once
def selector_possible(resource: Resource) -> Iterator[Problem]:
    """Each label has a value that all of its matchers accept."""
    for expression in expressions(resource):
        for selector in promql.selectors(expression.tree):
            for label in _contradicted(selector):
                yield resource.problem(
                    expression.path,
                    f"no value of {label} satisfies all of its matchers",
                    "keep one of them",
                )


def _contradicted(selector: promql.Node) -> Iterator[str]:
    matchers = [m for m in selector.matchers.matchers if UNKNOWN not in m.value]
    for label in dict.fromkeys(m.name for m in matchers):
        mine = [(str(m.op), m.value) for m in matchers if m.name == label]
        wanted = [value for sign, value in mine if sign == promql.EQUAL]
        if wanted and not all(promql.accepts(o, v, wanted[0]) for o, v in mine):
            yield label


@rule(
    id="comparison-possible",
    title="A comparison of constants can be true",
    severity="warning",
    rationale="A condition that is false by its numbers alone returns nothing, for ever.",
    references=[_OPERATORS],
    kinds=CARRIERS,
    known_as=["pint:promql/impossible"],
)
@each_once
def comparison_possible(resource: Resource) -> Iterator[Problem]:
    """No comparison whose sides hold no series is false."""
    for expression in expressions(resource):
        for node in expression.tree.of_kind("BinaryExpr"):
            if node.op not in promql.COMPARISONS:
                continue
            left, right = promql.constant(node.lhs), promql.constant(node.rhs)
            if left is None or right is None or _COMPARED[str(node.op)](left, right):
                continue
            yield resource.problem(
                expression.path,
                f"{left:g} {node.op} {right:g} is never true",
                "correct the comparison, or remove it",
            )


@rule(
    id="range-within-retention",
    title="A query looks no further back than data is kept",
    severity="warning",
    rationale="What is older than the retention is gone: the query is empty, or its side is.",
    references=["https://prometheus.io/docs/prometheus/latest/storage/#operational-aspects"],
    kinds=CARRIERS,
    known_as=["pint:promql/offset", "pint:promql/range_query"],
)
@each_once
def range_within_retention(resource: Resource, world: World) -> Iterator[Problem]:
    """Ranges and offsets are within the retention of every Prometheus of the build."""
    kept = [seconds(p.spec.get("retention")) for p in world.index.of_kind(*PROMETHEUS)]
    limit = min((span for span in kept if span), default=None)
    for expression in expressions(resource) if limit else ():
        longest = max((_reach(node) for node in promql.walk(expression.tree)), default=0)
        if limit and longest > limit:
            yield resource.problem(
                expression.path,
                f"looks {longest / 86400:g} days back, data is kept for {limit / 86400:g}",
                "shorten it, or keep data longer",
            )


def _reach(node: promql.Node) -> float:
    """Return how many seconds a selector or subquery looks back by itself."""
    inner = getattr(node, "vector_selector", None) or node
    spans = (getattr(node, "range", None), getattr(inner, "offset", None))
    return float(sum(span.total_seconds() for span in spans if span is not None))


@rule(
    id="aggregation-keeps-labels",
    title="A recording rule keeps the labels that are needed later",
    severity="warning",
    rationale="A label that is summed away cannot be alerted or routed by any more.",
    references=[_AGGREGATION],
    kinds=[RULES],
    known_as=["pint:promql/aggregate"],
)
@each_once
def aggregation_keeps_labels(resource: Resource, world: World) -> Iterator[Problem]:
    """The result of each rule may carry the labels of `Config.kept_labels`."""
    labels_of = source(world)
    for expression in expressions(resource) if world.config.kept_labels else ():
        labels = result_labels(expression.tree, labels_of)
        written = mapping(expression.item, "labels")
        for label in world.config.kept_labels:
            if not labels.may(label) and label not in written:
                yield resource.problem(
                    expression.path,
                    f"label {label} is aggregated away",
                    f"aggregate by ({label}, ...)",
                )
