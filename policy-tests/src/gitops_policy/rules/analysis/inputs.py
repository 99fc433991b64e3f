"""What an analysis is given and what it makes of it: providers, times, arguments, templates."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.argo.analyses import (
    CLUSTER_TEMPLATE,
    TEMPLATE,
    analyses,
    declared,
    substituted,
    used,
)
from gitops_policy.fields import entries, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.durations import go_seconds
from gitops_policy.registry import rule

_DOCS = "https://argoproj.github.io/argo-rollouts/features/analysis/"
_GO = "https://pkg.go.dev/time#ParseDuration"
_TEMPLATES = [TEMPLATE, CLUSTER_TEMPLATE]
_ROLLOUT = ["argoproj.io/Rollout"]


@rule(
    id="analysis-provider-set",
    title="A metric asks exactly one provider",
    severity="error",
    rationale="The controller refuses a metric with no provider or several, and the release stops.",
    references=[_DOCS],
    kinds=_TEMPLATES,
)
def analysis_provider_set(template: Resource) -> Iterator[Problem]:
    """`provider` of each metric holds one field."""
    for i, metric in entries(template.spec, "metrics"):
        named = [key for key, value in mapping(metric, "provider").items() if value is not None]
        if len(named) != 1:
            said = f"asks {' and '.join(sorted(named))}" if named else "asks nobody"
            message = f"metric {text(metric, 'name')!r} {said}"
            yield template.problem(("spec", "metrics", i, "provider"), message, "name one provider")


@rule(
    id="analysis-times-valid",
    title="The times of a metric can be read",
    severity="error",
    rationale="The controller refuses `30 seconds`, in the middle of a release.",
    references=[_DOCS, _GO],
    kinds=_TEMPLATES,
)
def analysis_times_valid(template: Resource) -> Iterator[Problem]:
    """interval and initialDelay are Go durations once arguments are filled in."""
    for i, metric in entries(template.spec, "metrics"):
        for name in ("interval", "initialDelay"):
            value = text(metric, name)
            read = [go_seconds(filled) for filled in substituted(template, value)]
            if value and read and all(seconds is None for seconds in read):
                yield template.problem(
                    ("spec", "metrics", i, name),
                    f"{value!r} is no duration",
                    "write numbers with ms, s, m or h behind them, such as 1m30s",
                )


@rule(
    id="analysis-condition-reads-result",
    title="A condition reads the result",
    severity="error",
    rationale="A condition without `result` has the same verdict for every release.",
    references=[_DOCS],
    kinds=_TEMPLATES,
)
def analysis_condition_reads_result(template: Resource) -> Iterator[Problem]:
    """successCondition and failureCondition name `result`, or a part of it."""
    for i, metric in entries(template.spec, "metrics"):
        for name in ("successCondition", "failureCondition"):
            condition = text(metric, name)
            if condition.strip() and not re.search(r"\bresult\b", condition):
                yield template.problem(
                    ("spec", "metrics", i, name),
                    f"{condition.strip()!r} does not look at the result",
                    "compare `result`",
                )


@rule(
    id="analysis-argument-used",
    title="A template uses each argument that it declares",
    severity="warning",
    rationale="Who supplies a namespace or a hash believes that the query asks for it alone.",
    references=[_DOCS + "#analysistemplate-spec"],
    kinds=_TEMPLATES,
)
def analysis_argument_used(template: Resource) -> Iterator[Problem]:
    """Each declared argument stands in a metric; nested templates may take it instead."""
    if sequence(template.spec, "templates"):
        return
    places = {name for _, name in used({k: v for k, v in template.spec.items() if k != "args"})}
    for i, argument in entries(template.spec, "args"):
        name = text(argument, "name")
        if name and name not in places and name in declared(template):
            yield template.problem(
                ("spec", "args", i), f"nothing uses the argument {name!r}", "use it or remove it"
            )


@rule(
    id="analysis-names-templates",
    title="An analysis runs a template",
    severity="error",
    rationale="A step without templates looks like a gate, and the controller refuses it.",
    references=[_DOCS],
    kinds=_ROLLOUT,
)
def analysis_names_templates(rollout: Resource) -> Iterator[Problem]:
    """`templates` of each analysis names one at least."""
    for analysis in analyses(rollout):
        if not analysis.references:
            path = (*analysis.path, "templates")
            yield rollout.problem(path, "the analysis has no template", "name one")


@rule(
    id="analysis-judges-new-pods",
    title="An analysis that asks by pod hash asks for the new pods",
    severity="error",
    rationale="With the hash of the stable pods only, the release is judged by those it replaces.",
    references=[_DOCS + "#analysis-template-arguments"],
    kinds=_ROLLOUT,
)
def analysis_judges_new_pods(rollout: Resource) -> Iterator[Problem]:
    """Where arguments have podTemplateHashValue, one of them at least is Latest."""
    for analysis in analyses(rollout):
        hashes = {
            i: text(argument, "valueFrom", "podTemplateHashValue")
            for i, argument in analysis.arguments
            if text(argument, "valueFrom", "podTemplateHashValue")
        }
        if hashes and "Latest" not in hashes.values():
            yield rollout.problem(
                (*analysis.path, "args", min(hashes), "valueFrom", "podTemplateHashValue"),
                "no argument is the hash of the new pods",
                "use Latest for what is judged, Stable for what it is compared with",
            )
