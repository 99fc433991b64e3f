"""ResourceQuota and LimitRange: the namespace holds what its workloads may grow to."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from gitops_policy.fields import entries, mapping
from gitops_policy.kubernetes.amounts import container_amount
from gitops_policy.kubernetes.demand import Crowd, container_range, in_scope, need
from gitops_policy.kubernetes.selectors import pods_in
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.world import World

_QUOTA = "https://kubernetes.io/docs/concepts/policy/resource-quotas/"
_LIMITS = "https://kubernetes.io/docs/concepts/policy/limit-range/"
_NAMED = 8


@rule(
    id="quota-fits-release",
    title="The quota holds every workload at its maximum during a release",
    severity="error",
    rationale="A canary that the quota refuses leaves a release hanging, at the worst load.",
    references=[_QUOTA, "https://argoproj.github.io/argo-rollouts/features/canary/"],
    kinds=["ResourceQuota"],
)
def quota_fits_release(quota: Resource, world: World) -> Iterator[Problem]:
    """The sum over the namespace at autoscaler maximum with surge stays within each hard limit.

    Pods that its scopes leave out do not count. One that names no namespace, among
    several folders of plain files, is not measured: nothing says what is beside it.
    """
    if world.unplaced(quota):
        return
    for name, hard in mapping(quota.spec, "hard").items():
        allowed, wanted = quantity(hard), need(str(name), quota, world)
        if allowed is not None and wanted is not None and wanted.amount > allowed:
            more = f" and {len(wanted.parts) - _NAMED} more" if wanted.parts[_NAMED:] else ""
            of_what = f" ({', '.join(wanted.parts[:_NAMED])}{more})" if wanted.parts else ""
            yield quota.problem(
                ("spec", "hard", name),
                f"up to {_shown(wanted.amount)} may be needed{of_what}, the quota is {hard}",
                f"raise it to {_shown(wanted.amount)}, or lower the autoscaler's maximum",
            )


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
    id="namespace-has-quota",
    title="A namespace with workloads has a ResourceQuota and a LimitRange",
    severity="warning",
    rationale="Without them one workload may take the whole cluster.",
    references=[_QUOTA, _LIMITS],
    kinds=["Namespace"],
    known_as=["trivy:KSV-0039", "trivy:KSV-0040", "kyverno:add-ns-quota", "nsa"],
)
def namespace_has_quota(namespace: Resource, world: World) -> Iterator[Problem]:
    """The build that makes the namespace and its pods also makes both objects."""
    if not pods_in(world, namespace.name):
        return
    for kind in ("ResourceQuota", "LimitRange"):
        if not any(r.namespace == namespace.name for r in world.index.of_kind(kind)):
            yield namespace.problem(("metadata", "name"), f"there is no {kind}", f"add a {kind}")


@rule(
    id="quota-bounds-compute",
    title="A ResourceQuota bounds requests and limits of CPU and memory",
    severity="info",
    rationale=(
        "What a quota leaves out has no bound; one on limits.cpu makes every container set a CPU"
        " limit, which is not always wanted."
    ),
    references=[_QUOTA],
    kinds=["ResourceQuota"],
    known_as=["trivy:KSV-0040"],
    default=False,
)
def quota_bounds_compute(quota: Resource) -> Iterator[Problem]:
    """`hard` has all four of requests and limits for cpu and memory."""
    hard = mapping(quota.spec, "hard")
    for bound in ("requests", "limits"):
        for resource in ("cpu", "memory"):
            if f"{bound}.{resource}" not in hard:
                yield quota.problem(
                    ("spec", "hard", f"{bound}.{resource}"), "it is not bounded", "add it"
                )


@rule(
    id="limit-range-complete",
    title="A LimitRange sets bounds and defaults",
    severity="info",
    rationale="Without defaults a container that says nothing is refused or unbounded.",
    references=[_LIMITS],
    kinds=["LimitRange"],
    known_as=["trivy:KSV-0039"],
    default=False,
)
def limit_range_complete(limits: Resource) -> Iterator[Problem]:
    """Some item has type, min, max, default and defaultRequest."""
    wanted = {"type", "min", "max", "default", "defaultRequest"}
    if not any(wanted <= item.keys() for _, item in entries(limits.spec, "limits")):
        yield limits.problem(
            ("spec", "limits"),
            "no item has min, max, default and defaultRequest",
            "complete the item of type Container",
        )


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
    limits = container_range(world, namespace)
    if container.group == "ephemeralContainers":
        return
    for quota in world.index.of_kind("ResourceQuota"):
        if quota.namespace != namespace or not in_scope(Crowd(container.pod, 1), quota):
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
