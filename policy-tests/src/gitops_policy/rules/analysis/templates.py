"""AnalysisTemplates: three verdicts, and no data is never a pass."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.argo.analyses import (
    CLUSTER_TEMPLATE,
    TEMPLATE,
    analyses,
    prometheus_metrics,
    substituted,
    whole_number,
)
from gitops_policy.fields import entries, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.prometheus.expressions import gate
from gitops_policy.registry import rule
from gitops_policy.world import World

_DOCS = "https://argoproj.github.io/argo-rollouts/features/analysis/"
_PROMETHEUS = "https://argoproj.github.io/argo-rollouts/analysis/prometheus/"
_TEMPLATES = [TEMPLATE, CLUSTER_TEMPLATE]
_ROLLOUT = ["argoproj.io/Rollout"]
_CONDITIONS = ("successCondition", "failureCondition")
_LEAST = {
    "failureLimit": -1,
    "consecutiveSuccessLimit": 0,
    "inconclusiveLimit": 0,
    "consecutiveErrorLimit": 0,
}
_LIMITS = ("failureLimit", "consecutiveSuccessLimit", "inconclusiveLimit")


@rule(
    id="analysis-both-conditions",
    title="A Prometheus metric has a success and a failure condition",
    severity="error",
    rationale="Success alone fails on NaN, failure alone passes on it; only both can be undecided.",
    references=[_DOCS + "#inconclusive-runs"],
    kinds=_TEMPLATES,
)
def analysis_both_conditions(template: Resource) -> Iterator[Problem]:
    """successCondition and failureCondition are both written."""
    for path, metric in prometheus_metrics(template):
        for name in _CONDITIONS:
            if not text(metric, name):
                yield template.problem(
                    (*path, name),
                    f"metric {text(metric, 'name')!r} has no {name}",
                    "write both, so that neither true is undecided",
                )


@rule(
    id="analysis-nan-guarded",
    title="A condition says what NaN means",
    severity="error",
    rationale="0 of 0 requests is NaN, and a comparison with NaN is false: a verdict by accident.",
    references=[_DOCS + "#handling-metric-results"],
    kinds=_TEMPLATES,
)
def analysis_nan_guarded(template: Resource) -> Iterator[Problem]:
    """Each element of the result that a condition reads goes through isNaN in it."""
    for path, metric in prometheus_metrics(template):
        for name in _CONDITIONS:
            condition = text(metric, name)
            read = set(re.findall(r"result\s*\[\s*\d+\s*\]", condition))
            read = read or set(re.findall(r"\bresult\b", condition))
            unguarded = [r for r in sorted(read) if not _calls("isNaN", r, condition)]
            if unguarded and not re.search(r"\b(all|any|none)\(result", condition):
                yield template.problem(
                    (*path, name),
                    f"{', '.join(unguarded)} is compared without isNaN",
                    f"write !isNaN({unguarded[0]}) && ...",
                )


def _calls(function: str, argument: str, condition: str) -> bool:
    called = f"{function}({argument})"
    return re.sub(r"\s+", "", called) in re.sub(r"\s+", "", condition)


@rule(
    id="analysis-empty-guarded",
    title="A condition says what an empty result means",
    severity="error",
    rationale="result[0] of an empty result is an Error, and five in a row abort a good release.",
    references=[_PROMETHEUS],
    kinds=_TEMPLATES,
)
def analysis_empty_guarded(template: Resource) -> Iterator[Problem]:
    """A condition that indexes the result looks at its length before."""
    for path, metric in prometheus_metrics(template):
        for name in _CONDITIONS:
            condition = re.sub(r"\s+", "", text(metric, name))
            index, length = condition.find("result["), condition.find("len(result)")
            if index >= 0 and not 0 <= length < index:
                yield template.problem(
                    (*path, name),
                    "it indexes the result without looking at its length first",
                    "write len(result) > 0 && ...",
                )


@rule(
    id="analysis-limits-valid",
    title="The limits of a metric fit its count",
    severity="error",
    rationale="A count below a limit makes the run an Error, as does count > 1 without interval.",
    references=[_DOCS],
    kinds=_TEMPLATES,
)
def analysis_limits_valid(template: Resource) -> Iterator[Problem]:
    """count covers inconclusiveLimit and failureLimit + consecutiveSuccessLimit."""
    for i, metric in entries(template.spec, "metrics"):
        path = ("spec", "metrics", i)
        times = whole_number(template, metric.get("count", 0)) or 0
        failed, passed, unsure = (
            whole_number(template, metric.get(name, 0)) or 0 for name in _LIMITS
        )
        for name, least in _LEAST.items():
            value = whole_number(template, metric.get(name, 0))
            if value is not None and value < least:
                yield template.problem((*path, name), f"{name} is {value}", f"use {least} or more")
        if times > 1 and "interval" not in metric:
            yield template.problem((*path, "interval"), "count > 1 needs an interval", "set it")
        if times and times < unsure:
            yield template.problem(
                (*path, "inconclusiveLimit"),
                f"count {times} is below inconclusiveLimit {unsure}: the run would be an Error",
                "raise count, or leave it out",
            )
        if times and times < max(failed, 0) + max(passed, 0):
            yield template.problem(
                (*path, "count"),
                f"count {times} is below failureLimit {failed} + consecutiveSuccessLimit {passed}",
                "raise count",
            )
        if failed == -1 and passed == 0:
            message = "failureLimit -1 without consecutiveSuccessLimit never decides"
            yield template.problem((*path, "failureLimit"), message, "set one of them")


@rule(
    id="inline-analysis-ends",
    title="The analysis of a step ends by itself",
    severity="error",
    rationale=(
        "A metric with interval and no count runs for ever; in a step the controller refuses it."
    ),
    references=[_DOCS + "#background-analysis"],
    kinds=_ROLLOUT,
)
def inline_analysis_ends(rollout: Resource, world: World) -> Iterator[Problem]:
    """Each metric with an interval in an inline analysis has a count."""
    for analysis in analyses(rollout):
        for template in analysis.templates(world) if analysis.inline else ():
            for i, metric in entries(template.spec, "metrics"):
                if "interval" in metric and whole_number(template, metric.get("count", 0)) == 0:
                    yield template.problem(
                        ("spec", "metrics", i, "count"),
                        f"metric {text(metric, 'name')!r} has an interval and no count",
                        "set count: it bounds the wait",
                    )


@rule(
    id="analysis-query-parses",
    title="An AnalysisTemplate's PromQL parses",
    severity="error",
    rationale=(
        "A query that does not parse is an Error at each look, found in the middle of a release."
    ),
    references=[_PROMETHEUS, "https://prometheus.io/docs/prometheus/latest/querying/basics/"],
    kinds=_TEMPLATES,
    known_as=["pint:promql/syntax"],
)
def analysis_query_parses(template: Resource) -> Iterator[Problem]:
    """The query is valid PromQL once its arguments are substituted."""
    for path, metric in prometheus_metrics(template):
        reason = ""
        for query in substituted(template, text(metric, "provider", "prometheus", "query")):
            try:
                promql.parse(query)
            except ValueError as error:
                reason = reason or str(error)
            else:
                break
        else:
            yield template.problem(
                (*path, "provider", "prometheus", "query"),
                f"the query does not parse: {reason}",
                "correct the query",
            )


@rule(
    id="analysis-result-shape",
    title="Conditions read the result as what the query returns",
    severity="error",
    rationale=(
        "A vector is a list and a scalar is a number; the wrong one is an Error at each look."
    ),
    references=[_PROMETHEUS],
    kinds=_TEMPLATES,
)
def analysis_result_shape(template: Resource) -> Iterator[Problem]:
    """`result[...]` and `len(result)` for a vector, `result` alone for a scalar."""
    for path, metric in prometheus_metrics(template):
        expression = gate(template, text(metric, "provider", "prometheus", "query"))
        if expression is None:
            continue
        scalar = promql.is_scalar(expression)
        for name in _CONDITIONS:
            condition = text(metric, name)
            as_list = "result[" in condition or "len(result)" in condition
            as_list = as_list or bool(re.search(r"\b(all|any|none|count|sum)\(result", condition))
            if condition and "result" in condition and as_list is scalar:
                yield template.problem(
                    (*path, name),
                    f"the query returns a {'scalar' if scalar else 'vector'}",
                    "read it as result" if scalar else "read it as result[0], after len(result)",
                )
