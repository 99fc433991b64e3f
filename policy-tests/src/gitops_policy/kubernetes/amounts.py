"""What a container and a pod ask for, as admission and the scheduler count it."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from gitops_policy.fields import field
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Container, Pod

NOTHING = Fraction(0)


def container_amount(
    container: Container, bound: str, resource: str, limits: dict[str, Any] | None = None
) -> Fraction | None:
    """Return a container's request or limit (`bound` is `requests` or `limits`).

    `limits` is the `Container` item of a LimitRange, whose defaults count as they do at admission.
    """
    own = quantity(field(container.spec, "resources", bound, resource))
    if own is None and bound == "requests":
        own = quantity(field(container.spec, "resources", "limits", resource))
        own = quantity(field(limits, "defaultRequest", resource)) if own is None else own
    return quantity(field(limits, "default", resource)) if own is None else own


def pod_amount(
    pod: Pod, bound: str, resource: str, limits: dict[str, Any] | None = None
) -> Fraction:
    """Return what the scheduler and a quota count for one pod: the larger of start and run.

    Formula: https://kubernetes.io/docs/concepts/workloads/pods/init-containers/#resource-sharing-within-containers
    """
    running = starting = sidecars = NOTHING
    for container in pod.containers:
        amount = container_amount(container, bound, resource, limits) or NOTHING
        if container.group == "containers":
            running += amount
        elif container.sidecar:
            sidecars += amount
            starting = max(starting, sidecars)
        elif container.group == "initContainers":
            starting = max(starting, sidecars + amount)
    overhead = quantity(field(pod.spec, "overhead", resource)) or NOTHING
    return max(running + sidecars, starting) + overhead


def is_set(container: Container, part: str, name: str) -> bool:
    """Say whether the container or its pod sets this request or limit above 0."""
    own = field(container.spec, "resources", part, name)
    shared = field(container.pod.spec, "resources", part, name)
    return (quantity(own if own is not None else shared) or 0) > 0
