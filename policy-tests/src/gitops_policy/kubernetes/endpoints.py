"""From a host name or Service to the pods behind it, and the gateways and DNS servers in front."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.kubernetes.flows import End, outside, pod_end, pods_elsewhere
from gitops_policy.kubernetes.operators import made_labels
from gitops_policy.kubernetes.selectors import served
from gitops_policy.model import Resource
from gitops_policy.pods import Container, Pod
from gitops_policy.world import World, once

# The ports of URLs that name none.
_SCHEMES = {
    "http": 80,
    "https": 443,
    "postgres": 5432,
    "postgresql": 5432,
    "redis": 6379,
    "mysql": 3306,
    "amqp": 5672,
    "mongodb": 27017,
    "nats": 4222,
}
_URL = re.compile(
    r"\b([a-z][a-z0-9+]{1,20})://(?:[^\s/@'\"]{0,200}@)?([A-Za-z0-9.-]{1,253})(?::(\d{1,5}))?"
)
_ARGUMENT = re.compile(r"\{\{\s*args\.([\w-]{1,100})\s*\}\}")
_HOST_PORT = re.compile(r"([a-z0-9-]{1,63}(?:\.[a-z0-9-]{1,63}){1,5}):(\d{1,5})")
# Services that an operator makes beside an object: kind -> suffixes and port.
_MADE_SERVICES = {
    "postgresql.cnpg.io/Cluster": (("-rw", "-ro", "-r"), 5432, "cnpg.io/cluster"),
    "postgresql.cnpg.io/Pooler": (("",), 5432, "cnpg.io/poolerName"),
    "monitoring.coreos.com/Prometheus": (("",), 9090, "operator.prometheus.io/name"),
}


@dataclass(frozen=True, slots=True)
class Address:
    """A host and port that a container is told, and the field that says so."""

    path: Path
    host: str
    port: int | None


@dataclass(frozen=True, slots=True)
class Reached:
    """An end of a connection and the port there; not `exact` where only the Service's is known."""

    end: End
    port: int | None
    name: str
    exact: bool = True


def addresses(container: Container, world: World) -> Iterator[Address]:
    """Yield the hosts that a container is told, in its environment, command and arguments."""
    given = _arguments(container)
    for path, written in _told(container, world):
        value = _ARGUMENT.sub(lambda match: given.get(match[1], match[0]), written)
        for match in _URL.finditer(value):
            port = int(match[3]) if match[3] else _SCHEMES.get(match[1])
            yield Address(path, match[2].lower(), port)
        if plain := _HOST_PORT.fullmatch(value):
            yield Address(path, plain[1], int(plain[2]))


def _arguments(container: Container) -> dict[str, str]:
    """Return the values that an AnalysisTemplate gives its own arguments."""
    if not container.resource.kind.endswith("AnalysisTemplate"):
        return {}
    found = entries(container.resource.spec, "args")
    return {text(item, "name"): text(item, "value") for _, item in found if text(item, "value")}


def _told(container: Container, world: World) -> Iterator[tuple[Path, str]]:
    namespace = container.resource.namespace
    for i, variable in entries(container.spec, "env"):
        yield ("env", i, "value"), text(variable, "value")
        source = mapping(variable, "valueFrom", "configMapKeyRef")
        data = _data(world, namespace, text(source, "name"))
        yield ("env", i, "valueFrom", "configMapKeyRef"), text(data, text(source, "key"))
    for i, source in entries(container.spec, "envFrom"):
        for value in _data(world, namespace, text(source, "configMapRef", "name")).values():
            yield ("envFrom", i, "configMapRef"), value if isinstance(value, str) else ""
    for name in ("command", "args"):
        for i, value in enumerate(sequence(container.spec, name)):
            yield (name, i), value if isinstance(value, str) else ""


def _data(world: World, namespace: str, name: str) -> dict[str, Any]:
    found = world.index.get("ConfigMap", namespace, name) if name else None
    return mapping(found.content, "data") if found else {}


def behind(world: World, namespace: str, host: str, port: int | None) -> list[Reached]:
    """Return the pods that a name of the cluster leads to, seen from a namespace.

    Empty for a name that is not of the cluster, or may not be.
    """
    name, space, of_cluster = _service_name(host, namespace)
    service = world.index.get("Service", space, name)
    if service is not None:
        return list(behind_service(world, service, port))
    made = _made_service(world, space, name)
    if made or not of_cluster or _holds(world, space):
        return made
    return [Reached(pods_elsewhere(space, world=world), port, host, exact=False)]


def _service_name(host: str, namespace: str) -> tuple[str, str, bool]:
    parts = host.rstrip(".").split(".")
    of_cluster = len(parts) > 2 and parts[2] == "svc"
    return parts[0], parts[1] if len(parts) > 1 else namespace, of_cluster


def _holds(world: World, namespace: str) -> bool:
    return namespace in _served_namespaces(world)


@once
def _served_namespaces(world: World) -> frozenset[str]:
    return frozenset(service.namespace for service in world.index.of_kind("Service"))


def behind_service(world: World, service: Resource, port: int | None) -> Iterator[Reached]:
    """Yield the pods behind a Service, each with the number of its own port."""
    found = [item for _, item in entries(service.spec, "ports") if item.get("port") == port]
    if not found or not mapping(service.spec, "selector"):
        return
    protocol = text(found[0], "protocol") or "TCP"
    for pod in served(world, service.namespace, service.spec):
        number = _number(found[0].get("targetPort", port), protocol, pod)
        shown = f"{pod.resource.kind} {pod.resource.name!r}"
        if number is not None:
            yield Reached(pod_end(pod, world), number, shown)


def _number(target: object, protocol: str, pod: Pod) -> int | None:
    if isinstance(target, int):
        return target
    for container in pod.containers:
        for _, port in entries(container.spec, "ports"):
            same = (text(port, "protocol") or "TCP") == protocol
            if same and port.get("name") == target and isinstance(port.get("containerPort"), int):
                return int(port["containerPort"])
    return None


def _made_service(world: World, namespace: str, name: str) -> list[Reached]:
    for kind, (suffixes, port, label) in _MADE_SERVICES.items():
        for resource in world.index.of_kind(kind):
            if resource.namespace == namespace and name in [resource.name + s for s in suffixes]:
                end = pods_elsewhere(namespace, {label: resource.name}, world)
                return [Reached(end, port, f"{resource.kind} {resource.name!r}")]
    return []


def gateway_ends(world: World, namespace: str, name: str) -> list[End]:
    """Return where the data plane of a Gateway may run; each is possible.

    Envoy Gateway labels its pods with the Gateway; other implementations run in its namespace with
    the label of GEP-1762, or in one of their own.
    """
    if _has_envoy_gateway(world):
        labels = {
            "gateway.envoyproxy.io/owning-gateway-name": name,
            "gateway.envoyproxy.io/owning-gateway-namespace": namespace,
        }
        spaces = (*world.config.gateway_namespaces, namespace)
        return [pods_elsewhere(space, labels, world) for space in spaces]
    known = {"gateway.networking.k8s.io/gateway-name": name}
    return [pods_elsewhere(namespace, known, world), *controller_ends(world)]


@once
def _has_envoy_gateway(world: World) -> bool:
    return any(resource.group == "gateway.envoyproxy.io" for resource in world.index.resources)


def controller_ends(world: World) -> list[End]:
    """Return where an ingress controller may run: anywhere but with Prometheus, or outside."""
    return [pods_elsewhere(None, not_in=world.config.monitoring_namespaces), outside()]


def prometheus_ends(world: World) -> list[End]:
    """Return where Prometheus may run: the one of the build, else its usual namespaces."""
    found = [
        pods_elsewhere(r.namespace, made_labels(r), world)
        for r in world.index.of_kind("monitoring.coreos.com/Prometheus")
    ]
    if found:
        return found
    named = {"app.kubernetes.io/name": "prometheus"}
    return [pods_elsewhere(name, named, world) for name in world.config.monitoring_namespaces] + [
        pods_elsewhere(None, named, not_in=world.config.gateway_namespaces)
    ]


def dns_servers(world: World) -> list[tuple[End, int]]:
    """Return the DNS servers a cluster may have: Kubernetes', OpenShift's, on the node."""
    return [
        (pods_elsewhere("kube-system", {"k8s-app": "kube-dns"}, world), 53),
        (pods_elsewhere("openshift-dns", world=world), 5353),
        (outside("169.254.20.10"), 53),
        (outside("169.254.25.10"), 53),
    ]
