"""What a namespace may hold at once: pods at their most during a release, claims, objects."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.kubernetes.amounts import NOTHING, container_amount, pod_amount
from gitops_policy.kubernetes.producers import secret_keys
from gitops_policy.kubernetes.scaling import SCALABLE, count, release_pods, scale, workload_of
from gitops_policy.kubernetes.selectors import pods_in
from gitops_policy.model import Resource
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import Pod
from gitops_policy.world import World, once

_CNPG = "postgresql.cnpg.io/Cluster"
_STORAGE_CLASS = ".storageclass.storage.k8s.io/"
# Quota names of the core group that count objects, besides `count/<resource>`.
_COUNTED = {
    "services": "Service",
    "configmaps": "ConfigMap",
    "secrets": "Secret",
    "persistentvolumeclaims": "PersistentVolumeClaim",
    "replicationcontrollers": "ReplicationController",
    "resourcequotas": "ResourceQuota",
}


@dataclass(frozen=True, slots=True)
class Crowd:
    """A pod template and the most pods of it that exist at once."""

    pod: Pod
    number: int


@dataclass(frozen=True, slots=True)
class Claim:
    """Volume claims of one template: how many, of which size and storage class."""

    name: str
    number: int
    size: Fraction
    storage_class: str


def crowds(world: World, namespace: str) -> Iterator[Crowd]:
    """Yield each pod template of a namespace with the most pods it may have at once."""
    for pod in pods_in(world, namespace):
        yield Crowd(pod, _most(pod, world))
    for cluster in world.index.of_kind(_CNPG):
        if cluster.namespace == namespace:
            resources = mapping(cluster.spec, "resources")
            template = {"spec": {"containers": [{"name": "postgres", "resources": resources}]}}
            instances = count(field(cluster.spec, "instances"), 1)
            yield Crowd(Pod(cluster, ("spec",), template), instances)


def _most(pod: Pod, world: World) -> int:
    carrier = pod.resource
    workload = workload_of(pod, world)
    if workload.group_kind in SCALABLE:
        return release_pods(workload, scale(workload, world).maximum)
    if carrier.kind == "Job":
        return _parallel(carrier.spec)
    if carrier.kind == "CronJob":
        return _parallel(mapping(carrier.spec, "jobTemplate", "spec"))
    if carrier.kind == "ScaledJob":
        most = count(field(carrier.spec, "maxReplicaCount"), 100)
        return most * _parallel(mapping(carrier.spec, "jobTargetRef"))
    if carrier.kind == "Experiment":
        return count(field(carrier.content, *pod.path[:-1], "replicas"), 1)
    if carrier.kind == "DaemonSet":
        return max(world.config.nodes, 1)
    return 0 if carrier.kind == "PodTemplate" else 1


def _parallel(job: dict[str, Any]) -> int:
    """Return how many pods of a Job run at once."""
    parallel = count(job.get("parallelism"), 1)
    return min(parallel, count(job.get("completions"), parallel))


def claims(world: World, namespace: str) -> Iterator[Claim]:
    """Yield the volume claims of a namespace: written ones, of StatefulSets and of databases."""
    for resource in world.index.of_kind("PersistentVolumeClaim", "apps/StatefulSet", _CNPG):
        if resource.namespace != namespace:
            continue
        if resource.kind == "PersistentVolumeClaim":
            yield _claim(resource.name, 1, resource.spec)
        elif resource.kind == "StatefulSet":
            most = scale(resource, world).maximum
            for _, template in entries(resource.spec, "volumeClaimTemplates"):
                yield _claim(resource.name, most, mapping(template, "spec"))
        else:
            yield from _database_claims(resource)


def _claim(name: str, number: int, spec: dict[str, Any]) -> Claim:
    size = quantity(field(spec, "resources", "requests", "storage")) or NOTHING
    return Claim(name, number, size, text(spec, "storageClassName"))


def _database_claims(cluster: Resource) -> Iterator[Claim]:
    instances = count(field(cluster.spec, "instances"), 1)
    for part in ("storage", "walStorage"):
        if storage := mapping(cluster.spec, part):
            size = quantity(storage.get("size")) or NOTHING
            yield Claim(cluster.name, instances, size, text(storage, "storageClass"))


def in_scope(crowd: Crowd, quota: Resource) -> bool:
    """Say whether a quota counts these pods: all its scopes hold."""
    wanted = [str(scope) for scope in sequence(quota.spec, "scopes")]
    terms = entries(quota.spec, "scopeSelector", "matchExpressions")
    return all(_has_scope(crowd.pod, scope) for scope in wanted) and all(
        _fits_term(crowd.pod, term) for _, term in terms
    )


def _has_scope(pod: Pod, scope: str) -> bool:
    ends = "activeDeadlineSeconds" in pod.spec
    effort = any(
        mapping(c.spec, "resources", bound)
        for c in pod.containers
        for bound in ("requests", "limits")
    )
    return {
        "Terminating": ends,
        "NotTerminating": not ends,
        "BestEffort": not effort,
        "NotBestEffort": effort,
        "PriorityClass": bool(text(pod.spec, "priorityClassName")),
    }.get(scope, True)


def _fits_term(pod: Pod, term: dict[str, Any]) -> bool:
    scope, operator = text(term, "scopeName"), text(term, "operator")
    if scope != "PriorityClass":
        return _has_scope(pod, scope)
    own = text(pod.spec, "priorityClassName")
    if operator in ("In", "NotIn"):
        return (own in sequence(term, "values")) is (operator == "In")
    return bool(own) is (operator == "Exists")


@dataclass(frozen=True, slots=True)
class Need:
    """How much of a quota's resource may be needed, and what `parts` need it."""

    amount: Fraction
    parts: tuple[str, ...] = ()


@once
def _needs(_world: World) -> dict[tuple[str, str, str], Need | None]:
    return {}


def need(name: str, quota: Resource, world: World) -> Need | None:
    """Return how much of a quota's resource its namespace may need; None if that is not known."""
    scopes = (sequence(quota.spec, "scopes"), mapping(quota.spec, "scopeSelector"))
    key = (quota.namespace, name, repr(scopes))
    known = _needs(world)
    if key not in known:
        limits = container_range(world, quota.namespace)
        counted = [crowd for crowd in crowds(world, quota.namespace) if in_scope(crowd, quota)]
        amount = _needed(name, quota.namespace, counted, limits, world)
        parts = (f"{c.number} x {c.pod.resource.name}" for c in counted if _uses(name, c, limits))
        known[key] = None if amount is None else Need(amount, tuple(parts))
    return known[key]


def _needed(
    name: str, namespace: str, counted: list[Crowd], limits: dict[str, Any], world: World
) -> Fraction | None:
    """Resources: https://kubernetes.io/docs/concepts/policy/resource-quotas/#compute-resource-quota."""
    if name in ("pods", "count/pods"):
        return Fraction(sum(crowd.number for crowd in counted))
    bound, _, resource = name.partition(".")
    if name in ("cpu", "memory", "ephemeral-storage"):
        bound, resource = "requests", name
    if name == "requests.storage" or _STORAGE_CLASS in name or name == "persistentvolumeclaims":
        return _stored(name, claims(world, namespace))
    if bound in ("requests", "limits"):
        amounts = (c.number * pod_amount(c.pod, bound, resource, limits) for c in counted)
        return sum(amounts, NOTHING)
    return _objects(name, namespace, world)


def _stored(name: str, found: Iterable[Claim]) -> Fraction:
    storage_class, _, resource = name.rpartition(_STORAGE_CLASS)
    chosen = [c for c in found if storage_class in ("", c.storage_class)]
    if resource.endswith("persistentvolumeclaims"):
        return Fraction(sum(claim.number for claim in chosen))
    return sum((claim.number * claim.size for claim in chosen), NOTHING)


def _objects(name: str, namespace: str, world: World) -> Fraction | None:
    kind = name.removeprefix("services.")
    if kind in ("nodeports", "loadbalancers") and kind != name:
        return Fraction(_published(kind, namespace, world))
    wanted = _COUNTED.get(name.removeprefix("count/"))
    if wanted == "Secret":
        return Fraction(sum(1 for space, _ in secret_keys(world) if space == namespace))
    if wanted is None:
        return None
    found = sum(1 for r in world.index.of_kind(wanted) if r.namespace == namespace)
    # Every namespace has kube-root-ca.crt.
    return Fraction(found + (1 if wanted == "ConfigMap" else 0))


def _published(kind: str, namespace: str, world: World) -> int:
    """Count balancers, or ports on the nodes: a balancer takes one for each port unless told."""
    total = 0
    for service in world.index.of_kind("Service"):
        form = text(service.spec, "type")
        if service.namespace != namespace or form not in ("NodePort", "LoadBalancer"):
            continue
        ports = len(entries(service.spec, "ports"))
        if kind == "loadbalancers":
            total += form == "LoadBalancer"
        elif service.spec.get("allocateLoadBalancerNodePorts") is not False or form == "NodePort":
            total += ports
    return total


def _uses(name: str, crowd: Crowd, limits: dict[str, Any]) -> bool:
    """Say whether one template adds to a quota's resource, for messages."""
    bound, _, resource = name.partition(".")
    if name in ("cpu", "memory", "ephemeral-storage"):
        bound, resource = "requests", name
    if bound not in ("requests", "limits"):
        return name in ("pods", "count/pods")
    return bool(pod_amount(crowd.pod, bound, resource, limits))


def container_range(world: World, namespace: str, wanted: str = "Container") -> dict[str, Any]:
    """Join the LimitRange items of one type in a namespace, as admission applies all of them.

    Defaults come from the first that has one; an item without fills them in from its own max, then
    min (the API's defaulting). The strictest min, max and ratio hold.
    """
    return _ranges(world).get((namespace, wanted), {})


@once
def _ranges(world: World) -> dict[tuple[str, str], dict[str, Any]]:
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for limits in world.index.of_kind("LimitRange"):
        for _, item in entries(limits.spec, "limits"):
            _join(found.setdefault((limits.namespace, text(item, "type")), {}), _filled(item))
    return found


def _join(joined: dict[str, Any], more: dict[str, dict[str, Any]]) -> None:
    for key, values in more.items():
        place = joined.setdefault(key, {})
        for resource, value in values.items():
            if resource not in place or _stricter(key, value, place[resource]):
                place[resource] = value


def _filled(item: dict[str, Any]) -> dict[str, dict[str, Any]]:
    parts = ("min", "max", "default", "defaultRequest", "maxLimitRequestRatio")
    found = {part: dict(mapping(item, part)) for part in parts if mapping(item, part)}
    if text(item, "type") == "Container":
        default = {**found.get("max", {}), **found.get("default", {})}
        request = {**found.get("min", {}), **default, **found.get("defaultRequest", {})}
        found.update({"default": default} if default else {})
        found.update({"defaultRequest": request} if request else {})
    return found


def _stricter(key: str, value: object, other: object) -> bool:
    new, old = quantity(value), quantity(other)
    if new is None or old is None or key in ("default", "defaultRequest"):
        return False
    return new > old if key == "min" else new < old


def ratio(container: Any, resource: str, limits: dict[str, Any]) -> Fraction | None:
    """Return how many times its request a container's limit is; None without both."""
    request = container_amount(container, "requests", resource, limits)
    limit = container_amount(container, "limits", resource, limits)
    return limit / request if request and limit is not None else None
