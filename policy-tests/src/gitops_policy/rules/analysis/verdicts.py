"""Verdicts of analyses: conditions compile, a run can fail, and no run passes on nothing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.argo.analyses import (
    CLUSTER_TEMPLATE,
    TEMPLATE,
    analyses,
    declared,
    prometheus_metrics,
    substituted,
    used,
    whole_number,
)
from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations import promql
from gitops_policy.notations.conditions import flaw
from gitops_policy.pods import Pod
from gitops_policy.prometheus.expressions import gate
from gitops_policy.prometheus.scraping import seconds
from gitops_policy.registry import rule
from gitops_policy.world import World

_DOCS = "https://argoproj.github.io/argo-rollouts/features/analysis/"
_LANGUAGE = "https://expr-lang.org/docs/language-definition"
_TEMPLATES = [TEMPLATE, CLUSTER_TEMPLATE]
_EMPTY = r"len\(result\)(==0|<1|<=0)"
_CONDITIONS = ("successCondition", "failureCondition")


@rule(
    id="analysis-condition-compiles",
    title="The conditions of an analysis compile",
    severity="error",
    rationale="A condition that does not compile is an Error at each look, in mid-release.",
    references=[_DOCS, _LANGUAGE],
    kinds=_TEMPLATES,
)
def analysis_condition_compiles(template: Resource) -> Iterator[Problem]:
    """Conditions are expr-lang, and name its functions and those of Argo Rollouts only."""
    for i, metric in entries(template.spec, "metrics"):
        for name in _CONDITIONS:
            condition = text(metric, name)
            flaws = [flaw(variant) for variant in substituted(template, condition)]
            if condition and all(flaws):
                yield template.problem(
                    ("spec", "metrics", i, name), f"it does not compile: {flaws[1]}", "correct it"
                )


def _looks(template: Resource, metric: dict[str, Any]) -> int | None:
    """Return how often a metric is measured; None where that is unbounded or not known."""
    if "count" not in metric:
        return None if "interval" in metric else 1
    return whole_number(template, metric["count"]) or None


def _limit(template: Resource, metric: dict[str, Any], name: str) -> int | None:
    return whole_number(template, metric.get(name, 0))


def _deciding(template: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the metrics whose verdict counts: those in dry-run mode do not."""
    dry = [text(item, "metricName") for _, item in entries(template.spec, "dryRun")]
    for i, metric in entries(template.spec, "metrics"):
        if not any(_named(pattern, text(metric, "name")) for pattern in dry):
            yield ("spec", "metrics", i), metric


def _named(pattern: str, name: str) -> bool:
    return bool(pattern) and promql.fits(pattern, name)


@rule(
    id="analysis-can-fail",
    title="A metric can fail",
    severity="error",
    rationale="failureLimit is the number of failures allowed: as many as looks, and none counts.",
    references=[_DOCS + "#failure-conditions-and-failure-limit"],
    kinds=_TEMPLATES,
)
def analysis_can_fail(template: Resource) -> Iterator[Problem]:
    """failureLimit is below count, unless consecutive successes are asked for."""
    for path, metric in _deciding(template):
        looks, failures = _looks(template, metric), _limit(template, metric, "failureLimit")
        if looks is None or failures is None or _limit(template, metric, "consecutiveSuccessLimit"):
            continue
        if failures >= looks:
            yield template.problem(
                (*path, "failureLimit"),
                f"{failures} of {looks} measurements may fail: it always passes",
                "allow fewer failures than measurements",
            )


@rule(
    id="analysis-needs-a-success",
    title="A metric does not pass without one success",
    severity="error",
    rationale="When count is reached a metric passes, even if every look was undecided or failed.",
    references=[_DOCS + "#inconclusive-runs"],
    kinds=_TEMPLATES,
)
def analysis_needs_a_success(template: Resource) -> Iterator[Problem]:
    """inconclusiveLimit + failureLimit are below count, or consecutive successes are asked for."""
    for path, metric in _deciding(template):
        looks = _looks(template, metric)
        limits = [_limit(template, metric, n) for n in ("failureLimit", "inconclusiveLimit")]
        if looks is None or None in limits or _limit(template, metric, "consecutiveSuccessLimit"):
            continue
        failures, undecided = (max(limit or 0, 0) for limit in limits)
        both = all(text(metric, name) for name in _CONDITIONS)
        if both and failures < looks <= failures + undecided:
            yield template.problem(
                (*path, "inconclusiveLimit"),
                f"{looks} measurements without a success would pass",
                f"use {looks - 1 - failures} or less, or set consecutiveSuccessLimit",
            )


@rule(
    id="analysis-empty-is-no-success",
    title="A condition does not pass on no data",
    severity="error",
    rationale="A canary without traffic, or a metric with another name, would be promoted.",
    references=[_DOCS, "https://argoproj.github.io/argo-rollouts/analysis/prometheus/"],
    kinds=_TEMPLATES,
)
def analysis_empty_is_no_success(template: Resource) -> Iterator[Problem]:
    """successCondition accepts no empty result: all() and none() of nothing are true."""
    for path, metric in prometheus_metrics(template):
        condition = re.sub(r"\s+", "", text(metric, "successCondition"))
        says_some = re.search(r"len\(result\)(>|==[1-9]|>=[1-9]|!=0)", condition)
        accepts = re.search(rf"{_EMPTY}(\|\||or)|(\|\||or){_EMPTY}", condition)
        if accepts or (re.search(r"\b(all|none)\(result,", condition) and not says_some):
            yield template.problem(
                (*path, "successCondition"),
                "an empty result is a success",
                "write len(result) > 0 && ...",
            )


@rule(
    id="gate-has-minimum-sample",
    title="A ratio is judged above a minimum sample",
    severity="warning",
    rationale="One error in ten requests is 10 %: a quiet canary fails, or passes, by chance.",
    references=["https://sre.google/workbook/canarying-releases/", _DOCS],
    kinds=_TEMPLATES,
)
def gate_has_minimum_sample(template: Resource) -> Iterator[Problem]:
    """A query of rates over rates filters by a number of events, or a condition reads it."""
    for path, metric in prometheus_metrics(template):
        tree = gate(template, text(metric, "provider", "prometheus", "query"))
        if tree is None or not _ratio_of_rates(tree):
            continue
        numbers = {n for c in _CONDITIONS for n in re.findall(r"result\[(\d+)\]", text(metric, c))}
        if len(numbers) < 2 and not _filtered(tree):
            yield template.problem(
                (*path, "provider", "prometheus", "query"),
                "a ratio without a minimum of events",
                "write ... and sum(increase(requests_total[5m])) >= 3000",
            )


def _ratio_of_rates(tree: promql.Node) -> bool:
    return any(
        all(promql.calls(side, "rate", "irate", "increase") for side in (node.lhs, node.rhs))
        for node in promql.divisions(tree)
    )


def _filtered(tree: promql.Node) -> bool:
    return any(
        promql.kind(node) == "BinaryExpr"
        and str(node.op) in promql.COMPARISONS
        and not promql.returns_bool(node)
        for node in promql.walk(tree)
    )


@rule(
    id="analysis-waits-for-pods",
    title="An analysis looks at pods that are up",
    severity="error",
    rationale="Before its pods are ready a canary has no data, or that of a cold start.",
    references=[_DOCS + "#delay-analysis-runs", _DOCS + "#background-analysis"],
    kinds=["argoproj.io/Rollout"],
)
def analysis_waits_for_pods(rollout: Resource, world: World) -> Iterator[Problem]:
    """A step that makes pods comes first, or initialDelay is as long as they may start.

    setWeight and setCanaryScale end when their pods are available.
    """
    canary = ("spec", "strategy", "canary")
    steps = sequence(rollout.content, *canary, "steps")
    makers = [i for i, step in enumerate(steps) if _makes_pods(step)]
    startup = max((_startup(pod) for pod in world.pods_of(rollout)), default=0.0)
    for analysis in analyses(rollout):
        if analysis.path[:3] != canary or "experiment" in analysis.path:
            continue
        if not _of_the_canary(analysis.content):
            continue
        first = analysis.path[4] if analysis.inline else analysis.content.get("startingStep", 0)
        if not isinstance(first, int) or any(maker < first for maker in makers):
            continue
        if analysis.inline:
            yield rollout.problem(
                analysis.path, "no step before it makes a canary pod", "begin with setWeight"
            )
            continue
        late = [t for t in analysis.templates(world) if _too_early(t, startup)]
        if late:
            yield rollout.problem(
                analysis.path,
                f"{late[0].name} measures while pods start, for up to {startup:g} s",
                "set startingStep behind the first setWeight, or a longer initialDelay",
            )


def _makes_pods(step: object) -> bool:
    scale = mapping(step, "setCanaryScale")
    weight = step.get("setWeight") if isinstance(step, dict) else None
    return bool(weight or scale.get("weight") or scale.get("replicas"))


def _of_the_canary(analysis: object) -> bool:
    return any(
        text(item, "valueFrom", "podTemplateHashValue") == "Latest"
        for _, item in entries(analysis, "args")
    )


def _startup(pod: Pod) -> float:
    """Return how many seconds the probes let the pod's containers start."""
    longest = 0.0
    for container in pod.containers:
        probe = mapping(container.spec, "startupProbe") or mapping(container.spec, "readinessProbe")
        if not container.long_running or not probe:
            continue
        numbers = [_number(probe.get("initialDelaySeconds"), 0)]
        if "startupProbe" in container.spec:
            period = _number(probe.get("periodSeconds"), 10)
            numbers.append(_number(probe.get("failureThreshold"), 3) * period)
        longest = max(longest, sum(numbers))
    return longest


def _number(value: object, default: float) -> float:
    return value if isinstance(value, int | float) and not isinstance(value, bool) else default


def _too_early(template: Resource, startup: float) -> bool:
    """Say whether some metric surely begins before the startup probes must have passed."""
    for _, metric in prometheus_metrics(template):
        delay = metric.get("initialDelay", "0s")
        values = declared(template)
        known = all("value" in values.get(name, {}) for _, name in used(delay))
        waited = seconds(next(iter(substituted(template, delay))))
        if known and waited is not None and waited < startup:
            return True
    return False
