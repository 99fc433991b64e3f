"""ResourceQuota and LimitRange: the namespace holds what its workloads may grow to."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from gitops_policy.amounts import NOTHING, container_amount, pod_amount
from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Container, Pod
from gitops_policy.quantities import quantity
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.scaling import SCALABLE, count, release_pods, scale, workload_of
from gitops_policy.world import World

_QUOTA = "https://kubernetes.io/docs/concepts/policy/resource-quotas/"
_LIMITS = "https://kubernetes.io/docs/concepts/policy/limit-range/"


@rule(
    id="quota-fits-release",
    title="The quota holds every workload at its maximum during a release",
    severity="error",
    rationale="A canary that the quota refuses leaves a release hanging, at the worst load.",
    references=[_QUOTA, "https://argoproj.github.io/argo-rollouts/features/canary/"],
    kinds=["ResourceQuota"],
)
def quota_fits_release(quota: Resource, world: World) -> Iterator[Problem]:
    """The sum over the namespace at autoscaler maximum with surge stays within each hard limit."""
    limits = container_limits(world, quota.namespace)
    crowd = list(_crowd(world, quota.namespace))
    for name, hard in mapping(quota.spec, "hard").items():
        allowed = quantity(hard)
        needed = _needed(name, crowd, limits)
        if allowed is not None and needed is not None and needed > allowed:
            parts = ", ".join(f"{number} x {pod.resource.name}" for pod, number in crowd)
            yield quota.problem(
                ("spec", "hard", name),
                f"up to {_shown(needed)} may be needed ({parts}), the quota is {hard}",
                f"raise it to {_shown(needed)}, or lower the autoscaler's maximum",
            )


def _crowd(world: World, namespace: str) -> Iterator[tuple[Pod, int]]:
    """Yield each pod template of a namespace with the most pods it may have at once."""
    for pod in world.pods:
        workload = workload_of(pod, world)
        if pod.resource.namespace != namespace:
            continue
        if workload.group_kind in SCALABLE:
            yield pod, release_pods(workload, scale(workload, world).maximum)
        elif workload.group_kind in ("batch/Job", "batch/CronJob"):
            job = (
                workload.spec
                if workload.kind == "Job"
                else mapping(workload.spec, "jobTemplate", "spec")
            )
            yield pod, count(field(job, "parallelism"), 1)
        else:
            yield pod, 1


def _needed(
    name: str, crowd: list[tuple[Pod, int]], limits: dict[str, Any] | None
) -> Fraction | None:
    if name in ("pods", "count/pods"):
        return Fraction(sum(number for _, number in crowd))
    bound, _, resource = name.partition(".")
    if name in ("cpu", "memory", "ephemeral-storage"):
        bound, resource = "requests", name
    if bound not in ("requests", "limits") or resource == "storage":
        return None
    amounts = (number * pod_amount(pod, bound, resource, limits) for pod, number in crowd)
    return sum(amounts, NOTHING)


def _shown(amount: Fraction) -> str:
    for unit, size in (("Gi", 2**30), ("Mi", 2**20)):
        if amount >= size:
            return f"{-(-amount // size)}{unit}"
    return f"{float(amount):g}"


@rule(
    id="gpu-quota",
    title="Extended resources are limited by requests only",
    severity="error",
    rationale="A quota on limits.<extended resource> is never counted: there is no overcommit.",
    references=[_QUOTA + "#resource-quota-for-extended-resources"],
    kinds=["ResourceQuota"],
)
def gpu_quota(quota: Resource) -> Iterator[Problem]:
    """No hard limit is named `limits.` plus a name with a slash."""
    for name in mapping(quota.spec, "hard"):
        if name.startswith("limits.") and "/" in name:
            yield quota.problem(
                ("spec", "hard", name),
                f"{name} has no effect",
                f"write {name.replace('limits.', 'requests.', 1)}",
            )


@rule(
    id="limit-range-fits",
    title="Every container stays inside the namespace's LimitRange",
    severity="error",
    rationale="A container outside the range is refused when the pod is made, not at the sync.",
    references=[_LIMITS],
    kinds=CONTAINERS,
)
def limit_range_fits(container: Container, world: World) -> Iterator[Problem]:
    """Requests are at least `min`, limits at most `max`, for each resource of the range."""
    if container.group == "ephemeralContainers":
        return
    limits = container_limits(world, container.resource.namespace)
    for name, low in mapping(limits, "min").items():
        request, floor = container_amount(container, "requests", name, limits), quantity(low)
        if request is not None and floor is not None and request < floor:
            yield container.problem(
                ("resources", "requests", name),
                f"request {_given(container, 'requests', name)} is below the minimum {low}",
                f"request {low} or lower the LimitRange's min",
            )
    for name, high in mapping(limits, "max").items():
        limit, ceiling = container_amount(container, "limits", name, limits), quantity(high)
        if limit is not None and ceiling is not None and limit > ceiling:
            yield container.problem(
                ("resources", "limits", name),
                f"limit {_given(container, 'limits', name)} is above the maximum {high}",
                f"limit it to {high} or raise the LimitRange's max",
            )


def _given(container: Container, bound: str, name: str) -> str:
    return str(field(container.spec, "resources", bound, name) or "(by default)")


def container_limits(world: World, namespace: str) -> dict[str, Any] | None:
    """Return the `Container` item of the namespace's LimitRange."""
    for limits in world.index.of_kind("LimitRange"):
        for _, item in entries(limits.spec, "limits"):
            if limits.namespace == namespace and text(item, "type") == "Container":
                return item
    return None


@rule(
    id="namespace-has-quota",
    title="A namespace with workloads has a ResourceQuota and a LimitRange",
    severity="warning",
    rationale="Without them one workload may take the whole cluster.",
    references=[_QUOTA, _LIMITS],
    kinds=["Namespace"],
    known_as=["trivy:KSV-0039", "trivy:KSV-0040", "kyverno:add-ns-quota"],
)
def namespace_has_quota(namespace: Resource, world: World) -> Iterator[Problem]:
    """The build that makes the namespace and its pods also makes both objects."""
    if not any(pod.resource.namespace == namespace.name for pod in world.pods):
        return
    for kind in ("ResourceQuota", "LimitRange"):
        if not any(r.namespace == namespace.name for r in world.index.of_kind(kind)):
            yield namespace.problem(("metadata", "name"), f"there is no {kind}", f"add a {kind}")


@rule(
    id="quota-has-limits-for-all",
    title="What a quota counts, every container declares",
    severity="error",
    rationale="Under a quota on limits a container without that limit is refused at admission.",
    references=[_QUOTA],
    kinds=CONTAINERS,
)
def quota_has_limits_for_all(container: Container, world: World) -> Iterator[Problem]:
    """Containers set (or get by default) each cpu and memory amount that a quota counts."""
    namespace = container.resource.namespace
    limits = container_limits(world, namespace)
    if container.group == "ephemeralContainers":
        return
    for quota in world.index.of_kind("ResourceQuota"):
        if quota.namespace != namespace or sequence(quota.spec, "scopes"):
            continue
        for name in mapping(quota.spec, "hard"):
            bound, _, resource = name.rpartition(".")
            if resource not in ("cpu", "memory") or bound not in ("", "requests", "limits"):
                continue
            if container_amount(container, bound or "requests", resource, limits) is None:
                yield container.problem(
                    ("resources", bound or "requests", resource),
                    f"ResourceQuota {quota.name!r} counts {name}, the container has none",
                    "declare it, or give the LimitRange a default",
                )
