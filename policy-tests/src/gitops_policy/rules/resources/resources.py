"""Requests and limits: what a container is promised and where it ends."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import field, mapping
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.amounts import is_set
from gitops_policy.kubernetes.demand import container_range
from gitops_policy.kubernetes.gpus import uses_gpu
from gitops_policy.model import Problem
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.world import World

_RESOURCES = "https://kubernetes.io/docs/concepts/configuration/manage-resources-containers/"
_DEFAULTS = "https://kubernetes.io/docs/concepts/policy/limit-range/"
_LOCAL = _RESOURCES + "#local-ephemeral-storage"
_QOS = "https://kubernetes.io/docs/concepts/workloads/pods/pod-qos/"
_SCRATCH = "ephemeral-storage"


def missing(container: Container, world: World, part: str, name: str) -> Iterator[Problem]:
    """Yield a problem unless the container or its pod sets this request or limit above 0.

    Where Kubernetes fills it in it is only said: a request from the limit, both from a LimitRange.
    """
    if container.group == "ephemeralContainers" or is_set(container, part, name):
        return
    default = _filled_in(container, world, part, name)
    yield container.problem(
        ("resources", part, name),
        f"has no {name} {part.removesuffix('s')} of its own: it gets {default}"
        if default
        else f"has no {name} {part.removesuffix('s')}",
        f"set resources.{part}.{name}",
        severity=Severity.info if default else None,
    )


def _filled_in(container: Container, world: World, part: str, name: str) -> str:
    if part == "requests" and is_set(container, "limits", name):
        return "the limit's"
    item = container_range(world, container.resource.namespace)
    keys = ("defaultRequest", "default") if part == "requests" else ("default",)
    given = any((quantity(field(item, key, name)) or 0) > 0 for key in keys)
    return "the LimitRange's default" if given else ""


@rule(
    id="cpu-request",
    title="Containers request CPU",
    severity="error",
    rationale="Without a request the scheduler overfills nodes and an HPA on CPU has no base.",
    references=[_RESOURCES, _DEFAULTS],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:unset-cpu-requirements kube-score:container-resources "
        "polaris:cpuRequestsMissing checkov:CKV_K8S_10 kubescape:C-0268 kubescape:C-0050 "
        "trivy:KSV-0015 datree:3 kyverno:require-pod-requests-limits "
        "gatekeeper:containerrequests"
    ),
)
def cpu_request(container: Container, world: World) -> Iterator[Problem]:
    """`resources.requests.cpu` is set, on the container or its pod."""
    yield from missing(container, world, "requests", "cpu")


@rule(
    id="memory-request",
    title="Containers request memory",
    severity="error",
    rationale="Without a request a container is the first to be killed when a node runs short.",
    references=[_RESOURCES, _DEFAULTS],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-resources polaris:memoryRequestsMissing checkov:CKV_K8S_12 "
        "kubescape:C-0269 kubescape:C-0004 trivy:KSV-0016 datree:2 "
        "kyverno:require-pod-requests-limits gatekeeper:containerrequests "
        "kube-linter:unset-memory-requirements"
    ),
)
def memory_request(container: Container, world: World) -> Iterator[Problem]:
    """`resources.requests.memory` is set, on the container or its pod."""
    yield from missing(container, world, "requests", "memory")


@rule(
    id="memory-limit",
    title="Containers have a memory limit",
    severity="error",
    rationale="Without a limit one leak takes the node and its neighbours with it.",
    references=[_RESOURCES, _DEFAULTS],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:unset-memory-requirements kube-score:container-resources "
        "polaris:memoryLimitsMissing checkov:CKV_K8S_13 kubescape:C-0271 kubescape:C-0004 "
        "trivy:KSV-0018 datree:4 kyverno:require-pod-requests-limits gatekeeper:containerlimits nsa"
    ),
)
def memory_limit(container: Container, world: World) -> Iterator[Problem]:
    """`resources.limits.memory` is set, on the container or its pod."""
    yield from missing(container, world, "limits", "memory")


@rule(
    id="cpu-limit",
    title="Containers have a CPU limit",
    severity="warning",
    rationale="Contested: a limit throttles a server that could use idle cores. Off by default.",
    references=[_RESOURCES, _DEFAULTS],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-resources polaris:cpuLimitsMissing checkov:CKV_K8S_11 "
        "kubescape:C-0270 kubescape:C-0050 trivy:KSV-0011 datree:5 kyverno:require-cpu-limits "
        "nsa"
    ),
    default=False,
)
def cpu_limit(container: Container, world: World) -> Iterator[Problem]:
    """`resources.limits.cpu` is set, on the container or its pod."""
    yield from missing(container, world, "limits", "cpu")


@rule(
    id="no-cpu-limit",
    title="Containers have no CPU limit",
    severity="info",
    rationale="Contested: the opposite of cpu-limit. A limit throttles while cores are idle; a "
    "request alone already shares them fairly. Runs only by its name.",
    references=[_RESOURCES],
    kinds=CONTAINERS,
    known_as="datree:80 kyverno:forbid-cpu-limits",
    by_name_only=True,
)
def no_cpu_limit(container: Container) -> Iterator[Problem]:
    """`resources.limits.cpu` is absent."""
    if field(container.spec, "resources", "limits", "cpu") is not None:
        yield container.problem(
            ("resources", "limits", "cpu"), "has a CPU limit", "remove it, and keep the request"
        )


def unequal(container: Container, name: str) -> Iterator[Problem]:
    """Yield a problem where the request is not the limit; Kubernetes copies an absent request."""
    if container.group == "ephemeralContainers":
        return
    resources = mapping(container.spec, "resources")
    request = quantity(field(resources, "requests", name))
    limit = quantity(field(resources, "limits", name))
    if request is None or request == limit:
        return
    strict = name == "memory" and limit is not None and uses_gpu(container.pod)
    yield container.problem(
        ("resources", "requests", name),
        f"requests another amount of {name} than its limit"
        if limit is not None
        else f"requests {name} and has no limit of it",
        "set both to the same amount",
        severity=Severity.error if strict else None,
    )


@rule(
    id="memory-request-equals-limit",
    title="Memory requests equal memory limits",
    severity="warning",
    rationale="Memory above the request is borrowed: the node takes it back by killing the pod.",
    references=[_QOS],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-memory-requests-equal-limits "
        "kube-score:container-resource-requests-equal-limits datree:81 "
        "kyverno:memory-requests-equal-limits kyverno:require-qos-guaranteed"
    ),
)
def memory_request_equals_limit(container: Container) -> Iterator[Problem]:
    """A request is the limit; an error in pods with a GPU."""
    yield from unequal(container, "memory")


@rule(
    id="cpu-request-equals-limit",
    title="CPU requests equal CPU limits",
    severity="info",
    rationale="Guaranteed pods get whole cores where the node pins them; others pay with idle CPU.",
    references=[_QOS],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-cpu-requests-equal-limits "
        "kube-score:container-resource-requests-equal-limits kyverno:require-qos-guaranteed"
    ),
    default=False,
)
def cpu_request_equals_limit(container: Container) -> Iterator[Problem]:
    """A request is the limit."""
    yield from unequal(container, "cpu")


@rule(
    id="guaranteed-qos",
    title="Containers have the limits that make a pod Guaranteed",
    severity="info",
    rationale="Guaranteed pods are evicted last; for a web server its cost is idle CPU.",
    references=[_QOS],
    kinds=CONTAINERS,
    known_as="kyverno:require-qos-guaranteed",
    default=False,
)
def guaranteed_qos(container: Container) -> Iterator[Problem]:
    """CPU and memory limits are set; the requests are equal or absent (rules of their own)."""
    if container.group == "ephemeralContainers":
        return
    for name in ("cpu", "memory"):
        if not is_set(container, "limits", name):
            yield container.problem(
                ("resources", "limits", name), f"has no {name} limit", "limit it to the request"
            )


@rule(
    id="ephemeral-storage",
    title="Containers limit ephemeral storage",
    severity="warning",
    rationale="Logs and scratch files fill the node's disk, and then every pod is evicted.",
    references=[_LOCAL],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-ephemeral-storage-request-and-limit "
        "kube-linter:unset-ephemeral-storage-requirements "
        "gatekeeper:ephemeralstoragelimit gatekeeper:k8scontainerephemeralstoragelimit"
    ),
)
def ephemeral_storage(container: Container, world: World) -> Iterator[Problem]:
    """`resources.limits.ephemeral-storage` is set, on the container or its pod."""
    yield from missing(container, world, "limits", _SCRATCH)


@rule(
    id="ephemeral-storage-request",
    title="Containers request ephemeral storage",
    severity="warning",
    rationale="Without a request the scheduler sends pods to a node whose disk is full.",
    references=[_LOCAL],
    kinds=CONTAINERS,
    known_as="kube-score:container-ephemeral-storage-request-and-limit",
)
def ephemeral_storage_request(container: Container, world: World) -> Iterator[Problem]:
    """`resources.requests.ephemeral-storage` is set, on the container or its pod."""
    yield from missing(container, world, "requests", _SCRATCH)


@rule(
    id="ephemeral-storage-request-equals-limit",
    title="Ephemeral storage requests equal their limits",
    severity="info",
    rationale="What is used above the request was promised to nobody: the node evicts for it.",
    references=[_LOCAL],
    kinds=CONTAINERS,
    known_as="kube-score:container-ephemeral-storage-request-equals-limit",
    default=False,
)
def ephemeral_storage_request_equals_limit(container: Container) -> Iterator[Problem]:
    """Where both are set they are equal."""
    if field(container.spec, "resources", "limits", _SCRATCH) is not None:
        yield from unequal(container, _SCRATCH)
