"""Requests and limits within the bounds of the settings, and priorities."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from gitops_policy.fields import field, text
from gitops_policy.kubernetes.amounts import container_amount
from gitops_policy.kubernetes.demand import container_range
from gitops_policy.model import Problem
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

_RESOURCES = "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/"
_PRIORITY = "https://kubernetes.io/docs/concepts/scheduling-eviction/pod-priority-preemption/"
_OWN_CLASSES = ("system-cluster-critical", "system-node-critical")


@rule(
    id="resource-range",
    title="Requests and limits stay inside the configured range",
    severity="warning",
    rationale="A request of 100 cores is a typing error that keeps the pod Pending for ever.",
    references=[_RESOURCES],
    kinds=CONTAINERS,
    known_as=(
        "polaris:resourceMinimum polaris:resourceMaximum gatekeeper:containerlimits "
        "gatekeeper:containerrequests gatekeeper:ephemeralstoragelimit kubescape:C-0004 "
        "kubescape:C-0050"
    ),
)
def resource_range(container: Container, world: World) -> Iterator[Problem]:
    """Each amount with a range in the setting `resource_ranges` lies in it, defaults included."""
    limits = container_range(world, container.resource.namespace)
    if container.group == "ephemeralContainers":
        return
    for name, bounds in world.config.resource_ranges.items():
        part, _, resource = name.partition(".")
        amount = container_amount(container, part, resource, limits)
        low, high = (quantity(bound) for bound in [*bounds, "", ""][:2])
        below = amount is not None and low is not None and amount < low
        above = amount is not None and high is not None and amount > high
        if below or above:
            yield container.problem(
                ("resources", part, resource),
                f"{name} is {'below' if below else 'above'} the range {' to '.join(bounds)}",
                "choose an amount inside it, or change the setting resource_ranges",
            )


@rule(
    id="limit-request-ratio",
    title="Limits are not many times their requests",
    severity="info",
    rationale="Of taste, and so off by default: a node where every pod may use ten times what it "
    "asked for holds no promise.",
    references=[_RESOURCES],
    kinds=CONTAINERS,
    known_as="gatekeeper:containerresourceratios",
    default=False,
)
def limit_request_ratio(container: Container, world: World) -> Iterator[Problem]:
    """CPU and memory limits are at most `limit_request_ratio` (2) times the request."""
    if container.group == "ephemeralContainers":
        return
    ratio = Fraction(str(world.config.limit_request_ratio))
    for name in ("cpu", "memory"):
        request = quantity(field(container.spec, "resources", "requests", name))
        limit = quantity(field(container.spec, "resources", "limits", name))
        for part, amount in (("requests", request), ("limits", limit)):
            if amount is None:
                message = f"has no {name} {part[:-1]} to compare"
                yield container.problem(("resources", part, name), message, f"set {part}.{name}")
        if request and limit and limit > request * ratio:
            yield container.problem(
                ("resources", "limits", name),
                f"its {name} limit is {float(limit / request):g} times the request",
                f"keep it within {float(ratio):g} times",
            )


@rule(
    id="priority-class-set",
    title="Pods name their PriorityClass",
    severity="warning",
    rationale="When nodes run short, pods without a priority go first. Of use only where the "
    "cluster defines classes: off by default.",
    references=[_PRIORITY],
    kinds=PODS,
    known_as="polaris:priorityClassNotSet kyverno:require-pod-priorityclassname",
    default=False,
)
def priority_class_set(pod: Pod) -> Iterator[Problem]:
    """`priorityClassName` is set."""
    if not text(pod.spec, "priorityClassName"):
        yield pod.problem(("priorityClassName",), "names no PriorityClass", "set priorityClassName")


@rule(
    id="priority-class-known",
    title="A PriorityClass that pods name exists",
    severity="warning",
    rationale="Pods of an unknown PriorityClass are refused when they are made. Off by default: "
    "the classes mostly stand in another repository.",
    references=[_PRIORITY],
    kinds=PODS,
    known_as="kube-linter:priority-class-name",
    default=False,
)
def priority_class_known(pod: Pod, world: World) -> Iterator[Problem]:
    """It is Kubernetes' own, one of the build, or one of the setting `priority_classes`."""
    name = text(pod.spec, "priorityClassName")
    made = {found.name for found in world.index.of_kind("scheduling.k8s.io/PriorityClass")}
    if name and name not in {*_OWN_CLASSES, *world.config.priority_classes, *made}:
        yield pod.problem(
            ("priorityClassName",),
            f"nobody here makes a PriorityClass {name!r}",
            "add it, or list it in the setting priority_classes",
        )
