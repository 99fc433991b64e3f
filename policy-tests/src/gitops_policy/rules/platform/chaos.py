"""Chaos Mesh experiments that run when they are meant to."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import field, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import EVERY, rule

_GROUP = "chaos-mesh.org"
_SCHEDULES = "https://chaos-mesh.org/docs/define-scheduling-rules/"


@rule(
    id="chaos-schedule-object",
    title="A repeated chaos experiment is a Schedule",
    severity="error",
    rationale="Since Chaos Mesh 2 an inline scheduler is no field: the experiment runs at once.",
    references=[_SCHEDULES],
    kinds=EVERY,
)
def chaos_schedule_object(resource: Resource) -> Iterator[Problem]:
    """No experiment has spec.scheduler; a Schedule holds the experiment of its type."""
    if resource.group != _GROUP:
        return
    if "scheduler" in resource.spec:
        yield resource.problem(
            ("spec", "scheduler"),
            "an experiment runs once, and now: its scheduler is ignored",
            "write a Schedule with schedule, type and the experiment",
        )
    if resource.kind == "Schedule":
        kind = text(resource.spec, "type")
        name = kind[:1].lower() + kind[1:]
        if not mapping(resource.spec, name):
            yield resource.problem(
                ("spec", name or "type"), f"there is no {name or 'type'}", "add the experiment"
            )


@rule(
    id="chaos-is-bounded",
    title="A chaos experiment names its pods",
    severity="error",
    rationale="An experiment with an empty selector hits every pod of the cluster.",
    references=["https://chaos-mesh.org/docs/define-chaos-experiment-scope/"],
    kinds=EVERY,
)
def chaos_is_bounded(resource: Resource) -> Iterator[Problem]:
    """spec.selector names namespaces and labels or pods."""
    if resource.group != _GROUP or "selector" not in resource.spec:
        return
    selector = mapping(resource.spec, "selector")
    place = field(selector, "namespaces") or field(selector, "pods")
    which = field(selector, "labelSelectors") or field(selector, "expressionSelectors")
    if not place or not (which or field(selector, "pods")):
        yield resource.problem(
            ("spec", "selector"), "it is not limited", "name namespaces and labelSelectors"
        )
