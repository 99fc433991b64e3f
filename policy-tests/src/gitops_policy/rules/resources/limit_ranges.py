"""LimitRange: each container, pod and claim fits the namespace's bounds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from gitops_policy.fields import entries, field, mapping
from gitops_policy.kubernetes.amounts import container_amount, pod_amount
from gitops_policy.kubernetes.demand import container_range, ratio
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

_LIMITS = "https://kubernetes.io/docs/concepts/policy/limit-range/"


_ORDER = ("min", "defaultRequest", "default", "max")
_STANDARD = re.compile(r"cpu|memory|storage|ephemeral-storage|hugepages-.+|[^/]+/.+")


@rule(
    id="limit-range-valid",
    title="A LimitRange's amounts are in order",
    severity="error",
    rationale="The API server refuses a minimum above the default, a default above the maximum.",
    references=[_LIMITS],
    kinds=["LimitRange"],
)
def limit_range_valid(resource: Resource) -> Iterator[Problem]:
    """Of each resource min <= defaultRequest <= default <= max, and its name is a known one."""
    for i, item in entries(resource.spec, "limits"):
        names = {name for bound in _ORDER for name in mapping(item, bound)}
        for name in sorted(names):
            yield from _in_order(resource, i, item, name)


def _in_order(resource: Resource, i: int, item: dict[str, Any], name: str) -> Iterator[Problem]:
    given = [(bound, quantity(mapping(item, bound).get(name))) for bound in _ORDER]
    amounts = [(bound, amount) for bound, amount in given if amount is not None]
    if not _STANDARD.fullmatch(name):
        bound = next(bound for bound in _ORDER if name in mapping(item, bound))
        message = f"{name} is no resource of Kubernetes"
        yield resource.problem(("spec", "limits", i, bound, name), message, "correct the name")
    for (low, least), (high, most) in pairwise(amounts):
        if least > most:
            yield resource.problem(
                ("spec", "limits", i, low, name),
                f"{low} of {name} is above its {high}",
                f"raise {high}, or lower {low}",
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
    """Requests are at least `min`, limits at most `max`, and not more than the ratio apart."""
    if container.group == "ephemeralContainers":
        return
    limits = container_range(world, container.resource.namespace)
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
    for name, times in mapping(limits, "maxLimitRequestRatio").items():
        found, most = ratio(container, name, limits), quantity(times)
        if found is not None and most is not None and found > most:
            yield container.problem(
                ("resources", "limits", name),
                f"the limit is {float(found):g} times the request, at most {times} are allowed",
                "raise the request or lower the limit",
            )


def _given(container: Container, bound: str, name: str) -> str:
    return str(field(container.spec, "resources", bound, name) or "(by default)")


@rule(
    id="limit-range-fits-pod",
    title="Every pod stays inside the namespace's LimitRange",
    severity="error",
    rationale="The containers of a pod are added up: small ones together may be refused.",
    references=[_LIMITS],
    kinds=PODS,
)
def limit_range_fits_pod(pod: Pod, world: World) -> Iterator[Problem]:
    """The pod's requests and limits together are within `min` and `max` of type Pod."""
    bounds = container_range(world, pod.resource.namespace, "Pod")
    limits = container_range(world, pod.resource.namespace)
    for part, bound in (("min", "requests"), ("max", "limits")):
        for name, edge in mapping(bounds, part).items():
            amount, allowed = pod_amount(pod, bound, name, limits), quantity(edge)
            if allowed is None:
                continue
            if amount < allowed if part == "min" else amount > allowed:
                yield pod.problem(
                    ("containers",),
                    f"the {bound} of {name} together are {'below' if part == 'min' else 'above'}"
                    f" the LimitRange's {part} {edge}",
                    "change the containers' resources, or the LimitRange",
                )


@rule(
    id="limit-range-fits-claim",
    title="Every volume claim stays inside the namespace's LimitRange",
    severity="error",
    rationale="A claim outside the range is refused, and its pod stays Pending.",
    references=[_LIMITS],
    kinds=["PersistentVolumeClaim"],
)
def limit_range_fits_claim(claim: Resource, world: World) -> Iterator[Problem]:
    """The storage asked for is within `min` and `max` of type PersistentVolumeClaim."""
    bounds = container_range(world, claim.namespace, "PersistentVolumeClaim")
    size = quantity(field(claim.spec, "resources", "requests", "storage"))
    low, high = (quantity(field(bounds, part, "storage")) for part in ("min", "max"))
    if size is not None and ((low and size < low) or (high is not None and size > high)):
        yield claim.problem(
            ("spec", "resources", "requests", "storage"),
            "the size is outside of the LimitRange",
            "change the size, or the LimitRange",
        )
