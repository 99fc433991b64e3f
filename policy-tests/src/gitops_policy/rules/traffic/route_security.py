"""Routes and TLS: in front of the gateway, and behind it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.kubernetes.gateway_routes import GATEWAY, backends, hosts_meet, named_listeners
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World, once

_TLS = "https://gateway-api.sigs.k8s.io/guides/tls/"
_REDIRECT = "https://gateway-api.sigs.k8s.io/guides/http-redirect-rewrite/"
_BACKEND_TLS = "https://gateway-api.sigs.k8s.io/api-types/backendtlspolicy/"


@rule(
    id="route-over-tls",
    title="A route serves requests over TLS only",
    severity="warning",
    rationale="What an HTTP listener serves crosses the network in the clear.",
    references=[_TLS, _REDIRECT],
    kinds=[f"{GATEWAY}/HTTPRoute"],
    known_as=["polaris:httpRouteInsecureListener"],
)
def route_over_tls(route: Resource, world: World) -> Iterator[Problem]:
    """On an HTTP listener it only redirects to https; dev is exempt, it has no certificate."""
    if world.environment == "dev" or all(
        _redirects(item) for _, item in entries(route.spec, "rules")
    ):
        return
    for i, parent in entries(route.spec, "parentRefs"):
        gateway = world.index.get(
            f"{GATEWAY}/Gateway",
            text(parent, "namespace") or route.namespace,
            text(parent, "name"),
        )
        plain = [
            text(listener, "name")
            for listener in (named_listeners(gateway, parent) if gateway else ())
            if text(listener, "protocol") == "HTTP" and _has_host(listener, route)
        ]
        if plain:
            yield route.problem(
                ("spec", "parentRefs", i),
                f"the listener {plain[0]!r} serves it over plain HTTP",
                "name the HTTPS listener in sectionName, and redirect on the other",
            )


def _redirects(item: dict[str, Any]) -> bool:
    return any(
        text(step, "requestRedirect", "scheme") == "https" for _, step in entries(item, "filters")
    )


def _has_host(listener: dict[str, Any], route: Resource) -> bool:
    own, hosts = text(listener, "hostname"), sequence(route.spec, "hostnames")
    return not own or not hosts or any(hosts_meet(own, str(host)) for host in hosts)


@rule(
    id="route-host-set",
    title="A route names its hosts",
    severity="info",
    rationale="Without host names it answers every name of its listener.",
    references=["https://gateway-api.sigs.k8s.io/reference/spec/#httproutespec"],
    kinds=[f"{GATEWAY}/HTTPRoute"],
    known_as=["polaris:httpRouteWildcardOrEmptyHost"],
    default=False,
)
def route_host_set(route: Resource) -> Iterator[Problem]:
    """`hostnames` is set and holds no wildcard."""
    hosts = sequence(route.spec, "hostnames")
    if not hosts or any("*" in str(host) for host in hosts):
        yield route.problem(("spec", "hostnames"), "it matches any host", "name each host")


@rule(
    id="route-backend-tls",
    title="A backend that serves TLS is spoken to in TLS",
    severity="warning",
    rationale="Without a BackendTLSPolicy the gateway speaks plain HTTP to a TLS port.",
    references=[_BACKEND_TLS],
    kinds=[f"{GATEWAY}/HTTPRoute"],
    known_as=["polaris:httpRouteBackendTLSMissing"],
)
def route_backend_tls(route: Resource, world: World) -> Iterator[Problem]:
    """A Service on port 443, or with a port called https, has a BackendTLSPolicy."""
    for path, backend in backends(route):
        if text(backend, "kind") not in ("", "Service"):
            continue
        place = (text(backend, "namespace") or route.namespace, text(backend, "name"))
        if _serves_tls(place, field(backend, "port"), world) and place not in _originated(world):
            yield route.problem(
                (*path, "port"),
                f"Service {place[1]!r} serves TLS here, and no BackendTLSPolicy says so",
                "add a BackendTLSPolicy for the Service",
            )


def _serves_tls(place: tuple[str, str], port: object, world: World) -> bool:
    service = world.index.get("Service", *place)
    for _, item in entries(service.spec, "ports") if service else ():
        if item.get("port") == port and "https" in (item.get("name"), item.get("appProtocol")):
            return True
    return port == 443


@once
def _originated(world: World) -> frozenset[tuple[str, str]]:
    """Return the Services to which a policy makes the gateway speak TLS."""
    found = world.index.of_kind(
        f"{GATEWAY}/BackendTLSPolicy", "gateway.kgateway.dev/BackendConfigPolicy"
    )
    return frozenset(
        (policy.namespace, text(target, "name"))
        for policy in found
        if policy.group == GATEWAY or mapping(policy.spec, "tls")
        for _, target in entries(policy.spec, "targetRefs")
        if text(target, "kind") == "Service"
    )
