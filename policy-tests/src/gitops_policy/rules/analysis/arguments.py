"""Analyses: every template and every argument that is named exists."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.argo.analyses import (
    CLUSTER_TEMPLATE,
    TEMPLATE,
    Analysis,
    analyses,
    declared,
    find,
    has_value,
    used,
)
from gitops_policy.fields import entries, field, mapping, text
from gitops_policy.kubernetes.producers import secret_keys
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_DOCS = "https://argoproj.github.io/argo-rollouts/features/analysis/"
_TEMPLATES = [TEMPLATE, CLUSTER_TEMPLATE]
_ROLLOUT = ["argoproj.io/Rollout"]


@rule(
    id="analysis-template-exists",
    title="Every AnalysisTemplate that is named exists",
    severity="error",
    rationale="A Rollout that names a missing template is InvalidSpec: the release never starts.",
    references=[_DOCS],
    kinds=_ROLLOUT,
    needs_whole=True,
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
    flaw = _field_flaw(path, analysis.rollout) if path else ""
    if flaw:
        yield ("valueFrom", "fieldRef", "fieldPath"), flaw, "correct the path"


def _field_flaw(path: str, rollout: Resource) -> str:
    """Say why the controller reads nothing at a path; what only a run knows is left out."""
    if path.startswith("metadata"):
        return _metadata_flaw(path, rollout)
    value: object = rollout.content
    for section in filter(None, re.split(r"[.\[\]]+", path)):
        if section == "status" and value is rollout.content:
            return ""
        value = field(value, int(section) if isinstance(value, list) and section.isdecimal()
                      else section)  # fmt: skip
    if value is None:
        return f"no field {path}"
    return f"{path} is no single value" if isinstance(value, dict | list) else ""


def _metadata_flaw(path: str, rollout: Resource) -> str:
    keyed = re.fullmatch(r"metadata\.(labels|annotations)\['([^']+)'\]", path)
    if keyed:
        found = mapping(rollout.content, "metadata", keyed.group(1))
        return "" if keyed.group(2) in found else f"no {path}: it would be empty"
    known = ("name", "namespace", "uid", "labels", "annotations")
    return "" if path in {f"metadata.{name}" for name in known} else f"no field {path} to read"


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
