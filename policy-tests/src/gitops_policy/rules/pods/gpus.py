"""GPUs: asked for as whole devices, on the nodes that have them, and by nobody else."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.gpus import gpus, is_extended, uses_gpu
from gitops_policy.model import Problem
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule

_GPUS = "https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/"
_TAINTS = "https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"
_TOOLKIT = "https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/"
_VISIBLE = "NVIDIA_VISIBLE_DEVICES"
_SHARED_MEMORY = "/dev/shm"  # noqa: S108


@rule(
    id="extended-resource",
    title="GPUs and other extended resources are whole limits",
    severity="error",
    rationale="The API server refuses fractions, and requests that differ from the limit.",
    references=[_GPUS],
    kinds=CONTAINERS,
)
def extended_resource(container: Container) -> Iterator[Problem]:
    """Each is an integer under limits, and under requests equal or absent."""
    limits = mapping(container.spec, "resources", "limits")
    requests = mapping(container.spec, "resources", "requests")
    for part, amounts in (("limits", limits), ("requests", requests)):
        for name, value in amounts.items():
            amount = quantity(value)
            if is_extended(name) and (amount is None or amount % 1 or amount < 0):
                message = f"{name} is {value!r}, not a whole number"
                yield container.problem(("resources", part, name), message, "use whole devices")
    for name, value in requests.items():
        if is_extended(name) and quantity(limits.get(name)) != quantity(value):
            message = f"requests {value} of {name}, but its limit is {limits.get(name)!r}"
            fix = f"set limits.{name}; the request follows it"
            yield container.problem(("resources", "requests", name), message, fix)


@rule(
    id="gpu-visible-devices",
    title="Containers without a GPU do not ask the runtime for all of them",
    severity="error",
    rationale="NVIDIA_VISIBLE_DEVICES=all gives a container every GPU of the node, past the "
    "scheduler.",
    references=[_TOOLKIT],
    kinds=CONTAINERS,
)
def gpu_visible_devices(container: Container) -> Iterator[Problem]:
    """Without a GPU limit, NVIDIA_VISIBLE_DEVICES is unset, none or void."""
    if gpus(container) > 0:
        return
    for i, variable in entries(container.spec, "env"):
        value = variable.get("value")
        if variable.get("name") == _VISIBLE and value not in (None, "", "none", "void"):
            yield container.problem(
                ("env", i, "value"),
                f"sets {_VISIBLE}={value} without a GPU limit",
                f"remove it, set {_VISIBLE}=void, or ask for a GPU under limits",
            )


@rule(
    id="gpu-unprivileged",
    title="Containers with a GPU are not privileged",
    severity="error",
    rationale="A privileged container sees every GPU of the node, whatever it asked for.",
    references=[_GPUS, _TOOLKIT],
    kinds=CONTAINERS,
)
def gpu_unprivileged(container: Container) -> Iterator[Problem]:
    """A container with a GPU limit is not privileged."""
    if gpus(container) > 0 and container.security_context.get("privileged") is True:
        yield container.problem(
            ("securityContext", "privileged"),
            "is privileged, so its GPU limit limits nothing",
            "remove privileged: the device plugin gives it the device",
        )


@rule(
    id="gpu-scheduling",
    title="Pods with a GPU, and only they, go to the GPU nodes",
    severity="warning",
    rationale="Without the toleration a GPU pod stays Pending; with it, any other pod fills "
    "the dearest nodes.",
    references=[_TAINTS, _GPUS],
    kinds=PODS,
)
def gpu_scheduling(pod: Pod) -> Iterator[Problem]:
    """A GPU pod tolerates its taint and selects its nodes; one without does neither.

    Pods of a DaemonSet are the node's own: drivers and exporters run there without asking.
    """
    if pod.resource.group_kind == "apps/DaemonSet":
        return
    tolerated = [i for i, t in entries(pod.spec, "tolerations") if "gpu" in text(t, "key").lower()]
    chosen = [key for key in mapping(pod.spec, "nodeSelector") if _names_gpu(str(key))]
    if not uses_gpu(pod):
        for i in tolerated:
            message = "tolerates the taint of GPU nodes and asks for no GPU"
            yield pod.problem(("tolerations", i), message, "remove the toleration")
        for key in chosen:
            message = f"selects GPU nodes by {key} and asks for no GPU"
            yield pod.problem(("nodeSelector", key), message, "remove it, or ask for a GPU")
        return
    everything = any(
        t.get("operator") == "Exists" and not text(t, "key")
        for _, t in entries(pod.spec, "tolerations")
    )
    if not tolerated and not everything:
        message = "asks for a GPU and does not tolerate the taint of GPU nodes"
        yield pod.problem(("tolerations",), message, "tolerate nvidia.com/gpu, effect NoSchedule")
    if not mapping(pod.spec, "nodeSelector") and not _node_affinity(pod):
        message = "asks for a GPU and leaves open which"
        fix = "select the nodes by nvidia.com/gpu.product or your own label"
        yield pod.problem(("nodeSelector",), message, fix, severity=Severity.info)


def _names_gpu(label: str) -> bool:
    lower = label.lower()
    return "gpu" in lower or lower.startswith("nvidia.com/") or "accelerator" in lower


def _node_affinity(pod: Pod) -> bool:
    base = mapping(pod.spec, "affinity", "nodeAffinity")
    required = field(base, "requiredDuringSchedulingIgnoredDuringExecution")
    return bool(sequence(required, "nodeSelectorTerms"))


@rule(
    id="gpu-shared-memory",
    title="Shared memory of GPU pods is memory, and bounded",
    severity="warning",
    rationale="The runtime gives /dev/shm 64 MiB: workers of one model that share tensors crash.",
    references=["https://kubernetes.io/docs/concepts/storage/volumes/#emptydir"],
    kinds=CONTAINERS,
)
def gpu_shared_memory(container: Container) -> Iterator[Problem]:
    """What a GPU container mounts at /dev/shm is an emptyDir of Memory with a sizeLimit.

    With several GPUs something must be mounted there: they talk to each other through it.
    """
    amount = gpus(container)
    mounts = {
        text(mount, "mountPath").rstrip("/"): (i, text(mount, "name"))
        for i, mount in entries(container.spec, "volumeMounts")
    }
    if amount > 1 and _SHARED_MEMORY not in mounts:
        yield container.problem(
            ("volumeMounts",),
            f"has {amount} GPUs and the runtime's small {_SHARED_MEMORY}",
            f"mount an emptyDir with medium: Memory and a sizeLimit at {_SHARED_MEMORY}",
            severity=Severity.info,
        )
    if amount > 0 and _SHARED_MEMORY in mounts:
        i, name = mounts[_SHARED_MEMORY]
        volumes = [volume for _, volume in container.pod.volumes if volume.get("name") == name]
        bounded = any(
            field(volume, "emptyDir", "medium") == "Memory"
            and quantity(field(volume, "emptyDir", "sizeLimit")) is not None
            for volume in volumes
        )
        if not bounded:
            yield container.problem(
                ("volumeMounts", i),
                f"{_SHARED_MEMORY} is no emptyDir of Memory with a sizeLimit",
                "set emptyDir.medium: Memory and emptyDir.sizeLimit",
            )
