"""Which containers use a GPU, and how many."""

from __future__ import annotations

from fractions import Fraction

from gitops_policy.fields import mapping
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Container, Pod


def is_extended(resource: object) -> bool:
    """Say whether a resource is counted by a device plugin: a name with a vendor's domain."""
    domain, slash, _ = str(resource).partition("/")
    return bool(slash) and "." in domain and not domain.endswith("kubernetes.io")


def gpus(container: Container) -> Fraction:
    """Return how many GPUs (or slices of one) the container is limited to."""
    limits = mapping(container.spec, "resources", "limits")
    return sum(
        (
            quantity(amount) or Fraction(0)
            for name, amount in limits.items()
            if is_extended(name) and _is_gpu(str(name))
        ),
        Fraction(0),
    )


def _is_gpu(resource: str) -> bool:
    return "gpu" in resource or "/mig-" in resource or resource.endswith(("/i915", "/xe"))


def uses_gpu(pod: Pod) -> bool:
    """Say whether a container of the pod has a GPU."""
    return any(gpus(container) > 0 for container in pod.containers)
