"""What a release is judged by: real requests, and silence that stays silence."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.analyses import CLUSTER_TEMPLATE, TEMPLATE
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import expressions
from gitops_policy.prometheus.metrics import Metric, contract
from gitops_policy.registry import rule
from gitops_policy.world import World

_PROMETHEUS = "https://argoproj.github.io/argo-rollouts/analysis/prometheus/"
_VECTOR = "https://prometheus.io/docs/prometheus/latest/querying/functions/#vector"
_TEMPLATES = [TEMPLATE, CLUSTER_TEMPLATE]
# What probes and Prometheus itself ask a server for, as values of a label.
_PROBED = frozenset({"health", "healthz", "live", "livez", "metrics", "ready", "readyz", "startup"})
# scalar() of nothing is NaN, absent() of something is nothing.
_UNSURE = ("absent", "absent_over_time", "scalar")


@rule(
    id="gate-keeps-silence",
    title="A gate's query has no answer where there is no data",
    severity="error",
    rationale="`or vector(0)` makes a canary that was never scraped look like one without errors.",
    references=[_PROMETHEUS, _VECTOR],
    kinds=_TEMPLATES,
)
def gate_keeps_silence(template: Resource) -> Iterator[Problem]:
    """The whole query can be empty: no constant stands in for missing series."""
    for expression in expressions(template):
        if promql.selectors(expression.tree) and _always_answers(expression.tree):
            yield template.problem(
                expression.path,
                "the query has a value although nothing was measured",
                "let it be empty, and let the conditions say len(result) > 0",
            )


_LITERALS = ("NumberLiteral", "StringLiteral")


def _always_answers(node: promql.Node) -> bool:
    """Say whether an expression has a value whatever is stored; no where that is unsure."""
    node = promql.bare(node)
    kind = promql.kind(node)
    if kind == "NumberLiteral":
        return True
    if kind == "Call":
        series = [a for a in node.args if promql.kind(promql.bare(a)) not in _LITERALS]
        return node.func.name == "vector" or (
            node.func.name not in _UNSURE and bool(series) and all(map(_always_answers, series))
        )
    if kind == "AggregateExpr":
        return _always_answers(node.expr)
    if kind == "BinaryExpr":
        sides = [_always_answers(node.lhs), _always_answers(node.rhs)]
        if node.op == "or":
            return any(sides)
        return node.op in ("+", "-", "*", "/", "%", "^") and all(sides)
    return False


@rule(
    id="gate-leaves-probes-out",
    title="A gate counts the requests of users, not those of probes",
    severity="warning",
    rationale="Probes always succeed: among them an error rate of 50 % looks like 5 %.",
    references=[_PROMETHEUS],
    kinds=_TEMPLATES,
)
def gate_leaves_probes_out(template: Resource, world: World) -> Iterator[Problem]:
    """A selector of a metric that counts probes too has a matcher that refuses them.

    The metric contract says which label tells them apart.
    """
    known = contract(world)
    for expression in expressions(template):
        for selector in promql.selectors(expression.tree):
            name = promql.metric(selector)
            label, probed = _probes(known.series(name))
            sign, wanted = promql.matchers(selector).get(label, ("", ""))
            kept = [v for v in probed if not sign or promql.accepts(str(sign), wanted, v)]
            if kept:
                yield template.problem(
                    expression.path,
                    f"{name} counts {label} {', '.join(kept)} here",
                    f"select the requests of users by {label}",
                )
                break


def _probes(metric: Metric | None) -> tuple[str, list[str]]:
    """Return the label of a metric that tells probes apart, and their values of it."""
    for label, values in (metric.labels or {}).items() if metric else ():
        probed = sorted(_PROBED & set(values or ()))
        if probed:
            return label, probed
    return "", []
