"""AnalysisTemplates: three verdicts, no data is never a pass, every argument wired."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy import promql
from gitops_policy.analyses import (
    CLUSTER_TEMPLATE,
    TEMPLATE,
    Analysis,
    analyses,
    declared,
    find,
    has_value,
    prometheus_metrics,
    substituted,
    used,
    whole_number,
)
from gitops_policy.fields import entries, field, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.producers import secret_keys
from gitops_policy.registry import rule
from gitops_policy.world import World

_DOCS = "https://argoproj.github.io/argo-rollouts/features/analysis/"
_PROMETHEUS = "https://argoproj.github.io/argo-rollouts/analysis/prometheus/"
_TEMPLATES = [TEMPLATE, CLUSTER_TEMPLATE]
_ROLLOUT = ["argoproj.io/Rollout"]
_CONDITIONS = ("successCondition", "failureCondition")
_LIMITS = ("failureLimit", "consecutiveSuccessLimit", "inconclusiveLimit")


@rule(
    id="analysis-template-exists",
    title="Every AnalysisTemplate that is named exists",
    severity="error",
    rationale="A Rollout that names a missing template is InvalidSpec: the release never starts.",
    references=[_DOCS],
    kinds=_ROLLOUT,
)
def analysis_template_exists(rollout: Resource, world: World) -> Iterator[Problem]:
    """Names resolve in the Rollout's namespace, or cluster-wide with clusterScope; nested too."""
    for analysis in analyses(rollout):
        for path, name, cluster in analysis.references:
            if find(name, cluster, rollout.namespace, world) is None:
                yield rollout.problem(path, *_missing(name, cluster, rollout.namespace))
        for template in analysis.templates(world):
            for i, item in entries(template.spec, "templates"):
                name, cluster = text(item, "templateName"), item.get("clusterScope") is True
                if find(name, cluster, rollout.namespace, world) is None:
                    yield template.problem(
                        ("spec", "templates", i, "templateName"),
                        *_missing(name, cluster, rollout.namespace),
                    )


def _missing(name: str, cluster: bool, namespace: str) -> tuple[str, str]:
    if cluster:
        return f"there is no ClusterAnalysisTemplate {name!r}", "add it, or drop clusterScope"
    return (
        f"there is no AnalysisTemplate {name!r} in namespace {namespace!r}",
        "add rollouts/templates/<name> to the ladder's resources",
    )


@rule(
    id="analysis-arguments-wired",
    title="An analysis supplies the arguments that its templates need",
    severity="error",
    rationale=(
        "A missing argument makes the run an Error; a misspelt one leaves the default, silently."
    ),
    references=[_DOCS + "#analysis-template-arguments"],
    kinds=_ROLLOUT,
)
def analysis_arguments_wired(rollout: Resource, world: World) -> Iterator[Problem]:
    """Needed arguments are supplied, supplied ones are declared, sources are known."""
    for analysis in analyses(rollout):
        templates = analysis.templates(world)
        known = {name for template in templates for name in declared(template)}
        valued = {
            name
            for template in templates
            for name, item in declared(template).items()
            if has_value(item)
        }
        supplied = {text(item, "name") for _, item in analysis.arguments}
        for name in sorted(known - valued - supplied):
            yield rollout.problem(
                (*analysis.path, "args"), f"argument {name!r} is not supplied", f"add {name}"
            )
        for i, item in analysis.arguments:
            for step, message, fix in _argument_flaws(item, known if templates else None, analysis):
                yield rollout.problem((*analysis.path, "args", i, *step), message, fix)


def _argument_flaws(
    item: dict[str, object], known: set[str] | None, analysis: Analysis
) -> Iterator[tuple[tuple[str, ...], str, str]]:
    name = text(item, "name")
    if known is not None and name not in known:
        yield ("name",), f"no template declares argument {name!r}", "correct or remove it"
    if not has_value(item):
        yield ("name",), f"argument {name!r} has no value", "set value or valueFrom"
    source = mapping(item, "valueFrom")
    if source.get("podTemplateHashValue", "Latest") not in ("Latest", "Stable"):
        yield ("valueFrom", "podTemplateHashValue"), "it is neither Latest nor Stable", "write one"
    path = text(source, "fieldRef", "fieldPath")
    if re.fullmatch(r"(metadata|spec)(\.[A-Za-z0-9_-]+)+", path):
        content = {**analysis.rollout.content}
        content["metadata"] = {
            "namespace": analysis.rollout.namespace,
            **mapping(content, "metadata"),
        }
        if field(content, *path.split(".")) is None:
            yield ("valueFrom", "fieldRef", "fieldPath"), f"no field {path}", "correct the path"


@rule(
    id="analysis-arguments-declared",
    title="A template declares every argument that it uses",
    severity="error",
    rationale="An undeclared {{args.x}} makes every measurement an Error.",
    references=[_DOCS + "#analysis-template-arguments"],
    kinds=_TEMPLATES,
)
def analysis_arguments_declared(template: Resource, world: World) -> Iterator[Problem]:
    """Each `{{args.name}}` stands in spec.args, and Secrets that arguments read exist."""
    known = declared(template)
    for path, name in used(template.spec):
        if name not in known:
            yield template.problem(
                ("spec", *path), f"argument {name!r} is not declared", f"add {name} to spec.args"
            )
    for i, item in entries(template.spec, "args"):
        reference = mapping(item, "valueFrom", "secretKeyRef")
        name = text(reference, "name")
        if not reference or template.group_kind == CLUSTER_TEMPLATE or "{{" in name:
            continue
        made = secret_keys(world)
        keys = made.get((template.namespace, name), frozenset())
        if keys is not None and text(reference, "key") not in keys:
            yield template.problem(
                ("spec", "args", i, "valueFrom", "secretKeyRef"),
                f"nobody makes key {text(reference, 'key')!r} of Secret {name!r}",
                "name an existing Secret and key",
            )


@rule(
    id="analysis-templates-merge",
    title="The templates of one analysis do not contradict each other",
    severity="error",
    rationale="The controller merges them: one metric name twice, or two defaults, is InvalidSpec.",
    references=[_DOCS + "#analysis-with-multiple-templates"],
    kinds=_ROLLOUT,
)
def analysis_templates_merge(rollout: Resource, world: World) -> Iterator[Problem]:
    """Metric names are unique, and an argument has one default in all templates."""
    for analysis in analyses(rollout):
        metrics: set[str] = set()
        defaults: dict[str, object] = {}
        for template in analysis.templates(world):
            for _, metric in entries(template.spec, "metrics"):
                name = text(metric, "name")
                if name in metrics:
                    message = f"two of its metrics are called {name!r}"
                    yield rollout.problem(analysis.path, message, "rename one metric")
                metrics.add(name)
            for name, item in declared(template).items():
                if "value" in item and defaults.setdefault(name, item["value"]) != item["value"]:
                    yield rollout.problem(
                        analysis.path,
                        f"argument {name!r} has two defaults: {defaults[name]} and {item['value']}",
                        "give both templates the same default",
                    )


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
        expression = parsed(template, text(metric, "provider", "prometheus", "query"))
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


def parsed(template: Resource, query: str) -> promql.Node | None:
    """Return the first variant of a template's query that parses, None if none does."""
    for variant in substituted(template, query):
        try:
            return promql.parse(variant)
        except ValueError:
            continue
    return None
