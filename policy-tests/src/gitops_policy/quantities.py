"""Kubernetes quantities: `500m`, `1Gi`, `2e3`, and what containers and pods ask for."""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

from gitops_policy.fields import field
from gitops_policy.pods import Container, Pod

_PATTERN = re.compile(
    r"([+-]?(?:\d{1,30}(?:\.\d{0,30})?|\.\d{1,30}))"
    r"(?:([eE][+-]?\d{1,3})|([numkMGTPE]|[KMGTPE]i)?)"
)
_SUFFIXES = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    "k": Decimal(1000),
    **{name: Decimal(1000) ** (i + 2) for i, name in enumerate("MGTPE")},
    **{f"{name}i": Decimal(1024) ** (i + 1) for i, name in enumerate("KMGTPE")},
}


def quantity(value: object) -> Decimal | None:
    """Return the amount of a resource quantity; None if it is not one.

    Units are those of the resource: cores, bytes, pieces. Format as in the Kubernetes API
    (apimachinery's resource.Quantity).
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    match = _PATTERN.fullmatch(str(value))
    if not match:
        return None
    number, exponent, suffix = match.groups()
    amount = Decimal(number)
    if exponent:
        return amount.scaleb(int(exponent[1:]))
    return amount * _SUFFIXES[suffix] if suffix else amount


def share(value: object, whole: int) -> int | None:
    """Return a count or percentage (`2`, `"25%"`) of `whole` pods, rounded up; None if neither."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = re.fullmatch(r"(\d{1,9})%", value) if isinstance(value, str) else None
    return math.ceil(Decimal(int(match[1]) * whole) / 100) if match else None


def container_amount(
    container: Container, bound: str, name: str, limits: dict[str, Any] | None
) -> Decimal | None:
    """Return what a container has of a resource after the API server's defaults.

    `bound` is `requests` or `limits`; `limits` is the `Container` item of the namespace's
    LimitRange. A missing request is the container's own limit, then the range's default.
    """
    wanted = [("resources", bound, name)]
    if bound == "requests":
        wanted.append(("resources", "limits", name))
    own = next(
        (v for v in (field(container.spec, *path) for path in wanted) if v is not None), None
    )
    if own is not None:
        return quantity(own)
    defaults = ("defaultRequest", "default") if bound == "requests" else ("default",)
    given = (quantity(field(limits, key, name)) for key in defaults)
    return next((amount for amount in given if amount is not None), None)


def pod_amount(pod: Pod, bound: str, name: str, limits: dict[str, Any] | None) -> Decimal:
    """Return what a pod counts for: its containers and sidecars, or its greediest init container.

    Rule of the scheduler (KEP-753): an init container runs beside the sidecars before it.
    """
    running, peak = Decimal(0), Decimal(0)
    for container in pod.containers:
        amount = container_amount(container, bound, name, limits) or Decimal(0)
        if container.group == "containers" or container.sidecar:
            running += amount
        elif container.group == "initContainers":
            peak = max(peak, running + amount)
    overhead = quantity(field(pod.spec, "overhead", name)) or Decimal(0)
    return max(running, peak) + overhead
