"""What the API server refuses in a pod although its schema allows it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

from gitops_policy.fields import entries, field, mapping, text
from gitops_policy.model import Problem
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule

_VOLUMES = "https://kubernetes.io/docs/concepts/storage/volumes/"
_PROBES = (
    "https://kubernetes.io/docs/tasks/configure-pod-container/"
    "configure-liveness-readiness-startup-probes/"
)
_QUANTITY = "https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"
_RESOURCES = "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/"
_HANDLERS = ("exec", "grpc", "httpGet", "tcpSocket")
_PARTS = ("requests", "limits")


@rule(
    id="volume-mount-exists",
    title="A mount names a volume of its pod",
    severity="error",
    rationale="The API server refuses the pod; a Rollout or Deployment then makes none at all.",
    references=[_VOLUMES],
    kinds=CONTAINERS,
)
def volume_mount_exists(container: Container) -> Iterator[Problem]:
    """volumeMounts and volumeDevices name volumes, or claim templates of a StatefulSet."""
    names = {text(volume, "name") for _, volume in container.pod.volumes}
    templates = entries(container.resource.spec, "volumeClaimTemplates")
    names |= {text(template, "metadata", "name") for _, template in templates}
    for key in ("volumeMounts", "volumeDevices"):
        for i, mount in entries(container.spec, key):
            name = text(mount, "name")
            if name and name not in names:
                yield container.problem(
                    (key, i, "name"), f"no volume is called {name!r}", "add it, or the mount goes"
                )


@rule(
    id="volume-mount-path-unique",
    title="A path holds one volume",
    severity="error",
    rationale="The API server refuses a container that mounts two volumes at one path.",
    references=[_VOLUMES],
    kinds=CONTAINERS,
)
def volume_mount_path_unique(container: Container) -> Iterator[Problem]:
    """No mountPath stands twice in a container."""
    mounts = entries(container.spec, "volumeMounts")
    seen: Counter[str] = Counter()
    for i, mount in mounts:
        path = text(mount, "mountPath")
        seen[path] += 1
        if path and seen[path] > 1:
            message = f"{path} is mounted twice"
            yield container.problem(("volumeMounts", i, "mountPath"), message, "remove one")


@rule(
    id="probe-valid",
    title="A probe asks one question, and one good answer is enough for liveness",
    severity="error",
    rationale="The API server refuses a probe with two handlers, or none, and such a threshold.",
    references=[_PROBES],
    kinds=CONTAINERS,
)
def probe_valid(container: Container) -> Iterator[Problem]:
    """One handler each; successThreshold is 1 for liveness and startup probes."""
    for name in ("livenessProbe", "readinessProbe", "startupProbe"):
        probe = mapping(container.spec, name)
        handlers = [key for key in _HANDLERS if probe.get(key) is not None]
        if container.spec.get(name) is not None and len(handlers) != 1:
            said = " and ".join(handlers) or "no handler"
            yield container.problem((name,), f"{name} has {said}", "name exactly one")
        threshold = probe.get("successThreshold", 1)
        if name != "readinessProbe" and isinstance(threshold, int) and threshold > 1:
            yield container.problem(
                (name, "successThreshold"),
                f"successThreshold of a {name} is {threshold}",
                "leave it out: it must be 1",
            )


@rule(
    id="quantity-valid",
    title="Amounts of resources can be read",
    severity="error",
    rationale="The API server refuses `4GB` or `-1`; no schema says so.",
    references=[_QUANTITY],
    kinds=CONTAINERS,
)
def quantity_valid(container: Container) -> Iterator[Problem]:
    """Each request and limit is a quantity, and not below nothing."""
    for part in _PARTS:
        for name, value in mapping(container.spec, "resources", part).items():
            amount = quantity(value)
            if value is not None and (amount is None or amount < 0):
                yield container.problem(
                    ("resources", part, name),
                    f"{value!r} is no amount of {name}",
                    "write a number with m, k, M, G, Ki, Mi, Gi or nothing behind it",
                )


@rule(
    id="request-within-limit",
    title="A request is at most its limit",
    severity="error",
    rationale="The API server refuses the pod otherwise.",
    references=[_RESOURCES],
    kinds=CONTAINERS,
)
def request_within_limit(container: Container) -> Iterator[Problem]:
    """No request is above the limit of the same resource."""
    limits = mapping(container.spec, "resources", "limits")
    for name, value in mapping(container.spec, "resources", "requests").items():
        request, limit = quantity(value), quantity(limits.get(name))
        if request is not None and limit is not None and request > limit:
            yield container.problem(
                ("resources", "requests", name),
                f"requests {value} of {name}, its limit is {limits[name]}",
                "raise the limit, or request less",
            )


@rule(
    id="scratch-volume-fits-limit",
    title="An emptyDir is no larger than the pod may write",
    severity="warning",
    rationale="The pod is evicted at the sum of its limits, long before the volume is full.",
    references=[_RESOURCES + "#configurations-for-local-ephemeral-storage"],
    kinds=PODS,
)
def scratch_volume_fits_limit(pod: Pod) -> Iterator[Problem]:
    """sizeLimit of an emptyDir on disk is within the sum of the ephemeral-storage limits."""
    limit = _written_at_most(pod)
    for i, volume in pod.volumes:
        size = quantity(field(volume, "emptyDir", "sizeLimit"))
        on_disk = text(volume, "emptyDir", "medium") == ""
        if limit is not None and size is not None and on_disk and size > limit:
            yield pod.problem(
                ("volumes", i, "emptyDir", "sizeLimit"),
                f"{volume['emptyDir']['sizeLimit']} is above the ephemeral storage that the"
                " containers may use together",
                "raise their limits, or make the volume smaller",
            )


def _written_at_most(pod: Pod) -> Fraction | None:
    """Return what the pod may write; None where a container has no limit."""
    running = [c for c in pod.containers if c.group == "containers" or c.sidecar]
    found: list[Any] = [
        quantity(field(c.spec, "resources", "limits", "ephemeral-storage")) for c in running
    ]
    return None if not found or None in found else sum(found, Fraction(0))
