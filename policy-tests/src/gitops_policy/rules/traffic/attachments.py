"""What attaches to a Gateway: routes that its listeners accept, policies with a target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.kubernetes.flows import namespace_labels
from gitops_policy.kubernetes.gateway_routes import (
    GATEWAY,
    ROUTES,
    hosts_meet,
    listeners,
    named_listeners,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_API = "https://gateway-api.sigs.k8s.io/reference/spec/"
# Which listeners a kind of route attaches to unless allowedRoutes.kinds says more.
_PROTOCOLS = {
    "HTTPRoute": ("HTTP", "HTTPS"),
    "GRPCRoute": ("HTTP", "HTTPS", "GRPC"),
    "TLSRoute": ("TLS",),
    "TCPRoute": ("TCP", "TLS"),
    "UDPRoute": ("UDP",),
}


@rule(
    id="route-parent-exists",
    title="A route's Gateway and listener exist",
    severity="error",
    rationale="A route that attaches to nothing is never programmed.",
    references=[_API + "#parentreference"],
    kinds=ROUTES,
    needs_whole=True,
)
def route_parent_exists(route: Resource, world: World) -> Iterator[Problem]:
    """Each parentRef to a Gateway of the same namespace resolves, with its section."""
    for i, parent in entries(route.spec, "parentRefs"):
        namespace = text(parent, "namespace") or route.namespace
        if field(parent, "kind") not in (None, "Gateway") or namespace != route.namespace:
            continue
        name, section = text(parent, "name"), text(parent, "sectionName")
        gateway = world.index.get(f"{GATEWAY}/Gateway", namespace, name, near=route)
        path = ("spec", "parentRefs", i)
        if gateway is None:
            yield route.problem(
                (*path, "name"), f"there is no Gateway {name!r}", "name an existing Gateway"
            )
        elif section and section not in listeners(gateway):
            yield route.problem(
                (*path, "sectionName"),
                f"Gateway {name!r} has no listener {section!r}",
                "name one of its listeners",
            ).regardless()


@rule(
    id="route-accepted-by-listener",
    title="A listener of the parent accepts the route",
    severity="error",
    rationale="A route that no listener accepts gets no traffic; only its status says why.",
    references=[_API + "#allowedroutes", _API + "#parentreference"],
    kinds=ROUTES,
)
def route_accepted_by_listener(route: Resource, world: World) -> Iterator[Problem]:
    """Some listener fits the section and port, and allows the route's kind and namespace."""
    for i, parent in entries(route.spec, "parentRefs"):
        gateway = world.index.get(
            f"{GATEWAY}/Gateway",
            text(parent, "namespace") or route.namespace,
            text(parent, "name"),
            near=route,
        )
        named = list(named_listeners(gateway, parent)) if gateway else []
        if gateway and named and not any(_accepts(gateway, x, route, world) for x in named):
            yield route.problem(
                ("spec", "parentRefs", i),
                f"Gateway {gateway.name!r} has no listener for a {route.kind}"
                f" of namespace {route.namespace!r} here",
                "allow the namespace and kind in allowedRoutes, or name another listener",
            )


def _accepts(gateway: Resource, listener: dict[str, Any], route: Resource, world: World) -> bool:
    allowed = mapping(listener, "allowedRoutes")
    kinds = [text(item, "kind") for _, item in entries(allowed, "kinds")]
    if route.kind not in kinds if kinds else not _carries(listener, route.kind):
        return False
    source = text(allowed, "namespaces", "from") or "Same"
    if source == "Selector":
        selector = mapping(allowed, "namespaces", "selector")
        return namespace_labels(route.namespace, world).accepted(selector) is not False
    return source == "All" or route.namespace == gateway.namespace


def _carries(listener: dict[str, Any], kind: str) -> bool:
    protocol = text(listener, "protocol")
    return "/" in protocol or protocol in _PROTOCOLS.get(kind, (protocol,))


@rule(
    id="route-host-has-listener",
    title="A route's host names are served by its listener",
    severity="error",
    rationale="A route whose hosts do not meet the listener's host name gets no traffic.",
    references=[_API + "#httproutespec"],
    kinds=[f"{GATEWAY}/HTTPRoute", f"{GATEWAY}/GRPCRoute", f"{GATEWAY}/TLSRoute"],
)
def route_host_has_listener(route: Resource, world: World) -> Iterator[Problem]:
    """Each host name fits a listener that the route attaches to."""
    hosts = []
    for _, parent in entries(route.spec, "parentRefs"):
        gateway = world.index.get(
            f"{GATEWAY}/Gateway",
            text(parent, "namespace") or route.namespace,
            text(parent, "name"),
            near=route,
        )
        section = text(parent, "sectionName")
        for name, listener in listeners(gateway).items() if gateway else ():
            if section in ("", name):
                hosts.append(text(listener, "hostname"))
    for i, host in enumerate(sequence(route.spec, "hostnames")):
        if hosts and not any(h == "" or hosts_meet(h, str(host)) for h in hosts):
            yield route.problem(
                ("spec", "hostnames", i),
                f"no listener of its parents serves {host}",
                f"the listeners serve {', '.join(sorted(set(hosts)))}",
            )


@rule(
    id="policy-target-exists",
    title="What a gateway policy applies to exists",
    severity="error",
    rationale="A SecurityPolicy that targets nothing leaves the API open, and nothing says so.",
    references=["https://gateway-api.sigs.k8s.io/reference/policy-attachment/"],
    kinds=[
        f"gateway.envoyproxy.io/{kind}"
        for kind in (
            "SecurityPolicy",
            "BackendTrafficPolicy",
            "ClientTrafficPolicy",
            "EnvoyExtensionPolicy",
        )
    ],
    needs_whole=True,
)
def policy_target_exists(policy: Resource, world: World) -> Iterator[Problem]:
    """Each targetRef names an object of the build."""
    for i, target in entries(policy.spec, "targetRefs"):
        group, kind, name = (text(target, key) for key in ("group", "kind", "name"))
        found = world.index.get(f"{group}/{kind}" if group else kind, policy.namespace, name)
        section = text(target, "sectionName")
        if found is None:
            yield policy.problem(
                ("spec", "targetRefs", i, "name"),
                f"there is no {kind} {name!r} in namespace {policy.namespace!r}",
                "name an object of the same namespace",
            )
        elif kind == "Gateway" and section and section not in listeners(found):
            yield policy.problem(
                ("spec", "targetRefs", i, "sectionName"),
                f"Gateway {name!r} has no listener {section!r}",
                "name one of its listeners",
            ).regardless()
