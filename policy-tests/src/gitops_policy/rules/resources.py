"""Requests and limits: what a container is promised and where it ends."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, field, mapping
from gitops_policy.findings import Severity
from gitops_policy.model import Problem
from gitops_policy.pods import Container, Pod
from gitops_policy.quantities import quantity
from gitops_policy.registry import CONTAINERS, PODS, rule

_RESOURCES = "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/"
_GPUS = "https://kubernetes.io/docs/tasks/manage-gpus/scheduling-gpus/"
_VISIBLE = "NVIDIA_VISIBLE_DEVICES"


def _missing(container: Container, part: str, name: str) -> Iterator[Problem]:
    """Yield a problem unless the container or its pod sets this request or limit above 0."""
    if container.group == "ephemeralContainers":
        return
    own = field(container.spec, "resources", part, name)
    value = own if own is not None else field(container.pod.spec, "resources", part, name)
    amount = quantity(value)
    if amount is None or amount <= 0:
        yield container.problem(
            ("resources", part, name),
            f"has no {name} {part.removesuffix('s')}",
            f"set resources.{part}.{name}",
        )


@rule(
    id="cpu-request",
    title="Containers request CPU",
    severity="error",
    rationale="Without a request the scheduler overfills nodes and an HPA on CPU has no base.",
    references=[_RESOURCES],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:unset-cpu-requirements kube-score:container-resources "
        "polaris:cpuRequestsMissing checkov:CKV_K8S_10 kubescape:C-0268 kubescape:C-0050 "
        "trivy:KSV-0015 datree:3 kyverno:require-pod-requests-limits "
        "gatekeeper:containerrequests"
    ),
)
def cpu_request(container: Container) -> Iterator[Problem]:
    """`resources.requests.cpu` is set, on the container or its pod."""
    yield from _missing(container, "requests", "cpu")


@rule(
    id="memory-request",
    title="Containers request memory",
    severity="error",
    rationale="Without a request a container is the first to be killed when a node runs short.",
    references=[_RESOURCES],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-resources polaris:memoryRequestsMissing checkov:CKV_K8S_12 "
        "kubescape:C-0269 kubescape:C-0004 trivy:KSV-0016 datree:2 "
        "kyverno:require-pod-requests-limits gatekeeper:containerrequests"
    ),
)
def memory_request(container: Container) -> Iterator[Problem]:
    """`resources.requests.memory` is set, on the container or its pod."""
    yield from _missing(container, "requests", "memory")


@rule(
    id="memory-limit",
    title="Containers have a memory limit",
    severity="error",
    rationale="Without a limit one leak takes the node and its neighbours with it.",
    references=[_RESOURCES],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:unset-memory-requirements polaris:memoryLimitsMissing checkov:CKV_K8S_13 "
        "kubescape:C-0271 trivy:KSV-0018 datree:4 gatekeeper:containerlimits nsa"
    ),
)
def memory_limit(container: Container) -> Iterator[Problem]:
    """`resources.limits.memory` is set, on the container or its pod."""
    yield from _missing(container, "limits", "memory")


@rule(
    id="cpu-limit",
    title="Containers have a CPU limit",
    severity="warning",
    rationale="Contested: a limit throttles a server that could use idle cores. Off by default.",
    references=[_RESOURCES],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-resources polaris:cpuLimitsMissing checkov:CKV_K8S_11 "
        "kubescape:C-0270 trivy:KSV-0011 datree:5 kyverno:require-cpu-limits nsa"
    ),
    default=False,
)
def cpu_limit(container: Container) -> Iterator[Problem]:
    """`resources.limits.cpu` is set, on the container or its pod."""
    yield from _missing(container, "limits", "cpu")


@rule(
    id="memory-request-equals-limit",
    title="Memory requests equal memory limits",
    severity="warning",
    rationale="Memory above the request is borrowed: the node takes it back by killing the pod.",
    references=["https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/"],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-memory-requests-equal-limits datree:81 "
        "kyverno:memory-requests-equal-limits kyverno:require-qos-guaranteed "
        "gatekeeper:containerresourceratios"
    ),
)
def memory_request_equals_limit(container: Container) -> Iterator[Problem]:
    """Where both are set they are equal; an error in pods with a GPU."""
    request = quantity(field(container.spec, "resources", "requests", "memory"))
    limit = quantity(field(container.spec, "resources", "limits", "memory"))
    if request is not None and limit is not None and request != limit:
        yield container.problem(
            ("resources", "requests", "memory"),
            "requests another amount of memory than its limit",
            "set both to the same amount",
            severity=Severity.error if _uses_gpu(container.pod) else None,
        )


@rule(
    id="ephemeral-storage",
    title="Containers request and limit ephemeral storage",
    severity="warning",
    rationale="Logs and scratch files fill the node's disk, and then every pod is evicted.",
    references=[_RESOURCES],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-ephemeral-storage-request-and-limit "
        "gatekeeper:ephemeralstoragelimit kyverno:require-emptydir-requests-limits "
        "kyverno:add-emptydir-sizelimit"
    ),
)
def ephemeral_storage(container: Container) -> Iterator[Problem]:
    """Request and limit of ephemeral-storage are set."""
    for part in ("requests", "limits"):
        yield from _missing(container, part, "ephemeral-storage")


@rule(
    id="empty-dir-size-limit",
    title="Every emptyDir has a size limit",
    severity="warning",
    rationale="An emptyDir without limit takes the node's disk, or its memory.",
    references=["https://kubernetes.io/docs/concepts/storage/volumes/#emptydir"],
    kinds=PODS,
    known_as="kyverno:require-emptydir-requests-limits kyverno:add-emptydir-sizelimit",
)
def empty_dir_size_limit(pod: Pod) -> Iterator[Problem]:
    """`emptyDir.sizeLimit` is set."""
    for i, volume in pod.volumes:
        directory = volume.get("emptyDir")
        if directory is not None and quantity(field(directory, "sizeLimit")) is None:
            yield pod.problem(
                ("volumes", i, "emptyDir", "sizeLimit"),
                f"emptyDir {volume.get('name')!r} has no sizeLimit",
                "set emptyDir.sizeLimit",
            )


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
            if _is_extended(name) and (amount is None or amount % 1 or amount < 0):
                message = f"{name} is {value!r}, not a whole number"
                yield container.problem(("resources", part, name), message, "use whole devices")
    for name, value in requests.items():
        if _is_extended(name) and quantity(limits.get(name)) != quantity(value):
            message = f"requests {value} of {name}, but its limit is {limits.get(name)!r}"
            fix = f"set limits.{name}; the request follows it"
            yield container.problem(("resources", "requests", name), message, fix)


@rule(
    id="gpu-visible-devices",
    title="Containers without a GPU do not ask the runtime for all of them",
    severity="error",
    rationale="NVIDIA_VISIBLE_DEVICES=all gives a container every GPU of the node, past the "
    "scheduler.",
    references=["https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/"],
    kinds=CONTAINERS,
)
def gpu_visible_devices(container: Container) -> Iterator[Problem]:
    """Without a GPU limit, NVIDIA_VISIBLE_DEVICES is unset, none or void."""
    if _has_gpu(container):
        return
    for i, variable in entries(container.spec, "env"):
        value = variable.get("value")
        if variable.get("name") == _VISIBLE and value not in (None, "", "none", "void"):
            yield container.problem(
                ("env", i, "value"),
                f"sets {_VISIBLE}={value} without a GPU limit",
                f"remove it, set {_VISIBLE}=void, or ask for a GPU under limits",
            )


def _is_extended(name: str) -> bool:
    domain, slash, _ = name.partition("/")
    return bool(slash) and "." in domain and not domain.endswith("kubernetes.io")


def _has_gpu(container: Container) -> bool:
    limits = mapping(container.spec, "resources", "limits")
    return any(_is_extended(name) and "gpu" in name for name in limits)


def _uses_gpu(pod: Pod) -> bool:
    return any(_has_gpu(container) for container in pod.containers)
