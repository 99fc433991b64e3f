"""How long a request to a pod may take: the limits of the routes in front of it."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, field, text
from gitops_policy.kubernetes.gateway_routes import GATEWAY, backends
from gitops_policy.kubernetes.ingresses import INGRESS, service_backends
from gitops_policy.kubernetes.selectors import services_of
from gitops_policy.model import Resource
from gitops_policy.notations.durations import go_seconds
from gitops_policy.pods import Pod
from gitops_policy.world import World, once

_READ_TIMEOUT = "nginx.ingress.kubernetes.io/proxy-read-timeout"
_POLICY = "gateway.envoyproxy.io/BackendTrafficPolicy"


def longest_request(pod: Pod, world: World) -> float:
    """Return the most seconds that a request to the pod may take; 0 where no route says it."""
    limits = _limits(world)
    services = services_of(pod, world)
    return max((limits.get((s.namespace, s.name), 0.0) for s in services), default=0.0)


def published(pod: Pod, world: World) -> bool:
    """Say whether a route, an Ingress or a published Service sends requests to the pod."""
    return any(
        (service.namespace, service.name) in _limits(world)
        or text(service.spec, "type") in ("LoadBalancer", "NodePort")
        for service in services_of(pod, world)
    )


@once
def _limits(world: World) -> dict[tuple[str, str], float]:
    """Return the longest request for each Service that something leads to from outside."""
    found: dict[tuple[str, str], float] = {}
    for place, seconds in (*_of_routes(world), *_of_ingresses(world)):
        found[place] = max(found.get(place, 0.0), seconds)
    return found


def _of_routes(world: World) -> Iterator[tuple[tuple[str, str], float]]:
    for route in world.index.of_kind(f"{GATEWAY}/HTTPRoute", f"{GATEWAY}/GRPCRoute"):
        for path, backend in backends(route):
            written = text(field(route.content, *path[:3]), "timeouts", "request")
            seconds = go_seconds(written)
            if seconds is None:
                seconds = _policy_limits(world).get((route.namespace, route.kind, route.name), 0)
            place = (text(backend, "namespace") or route.namespace, text(backend, "name"))
            yield place, float(seconds)


@once
def _policy_limits(world: World) -> dict[tuple[str, str, str], float]:
    """Return the limits that Envoy Gateway's policies set for routes."""
    return {
        (policy.namespace, text(target, "kind"), text(target, "name")): seconds
        for policy in world.index.of_kind(_POLICY)
        if (seconds := go_seconds(text(policy.spec, "timeout", "http", "requestTimeout")))
        for _, target in entries(policy.spec, "targetRefs")
    }


def _of_ingresses(world: World) -> Iterator[tuple[tuple[str, str], float]]:
    for ingress in world.index.of_kind(*INGRESS):
        for _, name, _ in service_backends(ingress):
            yield (ingress.namespace, name), _read_timeout(ingress)


def _read_timeout(ingress: Resource) -> float:
    written = text(ingress.annotations, _READ_TIMEOUT)
    return float(written) if written.isdecimal() else 0.0
