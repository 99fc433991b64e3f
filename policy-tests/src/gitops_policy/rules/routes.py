"""Gateway API: routes, gateways and policies that refer to things that exist."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.producers import secret_keys
from gitops_policy.registry import rule
from gitops_policy.world import World

_API = "https://gateway-api.sigs.k8s.io/reference/spec/"
GATEWAY = "gateway.networking.k8s.io"
_ROUTES = [f"{GATEWAY}/{kind}Route" for kind in ("HTTP", "GRPC", "TCP", "TLS", "UDP")]


def backends(route: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each backendRef of a route with its path."""
    for i, entry in entries(route.spec, "rules"):
        for j, backend in entries(entry, "backendRefs"):
            yield ("spec", "rules", i, "backendRefs", j), backend


@rule(
    id="route-backend-exists",
    title="A route's backend Service and port exist",
    severity="error",
    rationale="A route to a missing Service or port answers 500 for its whole share of traffic.",
    references=[_API + "#backendref"],
    kinds=_ROUTES,
    known_as=["kubescape:C-0302"],
)
def route_backend_exists(route: Resource, world: World) -> Iterator[Problem]:
    """Each backendRef names a Service of the build and one of its ports."""
    for path, backend in backends(route):
        if field(backend, "kind") not in (None, "Service"):
            continue
        namespace = text(backend, "namespace") or route.namespace
        name = text(backend, "name")
        if namespace != route.namespace and not _granted(route, namespace, world):
            yield route.problem(
                (*path, "namespace"),
                f"no ReferenceGrant in namespace {namespace!r} allows this reference",
                "add a ReferenceGrant there, or use a Service of the route's own namespace",
            )
            continue
        service = world.index.get("Service", namespace, name)
        if service is None:
            yield route.problem(
                (*path, "name"),
                f"there is no Service {name!r} in namespace {namespace!r}",
                "name an existing Service; Kustomize rewrites names only where it knows the field",
            )
        elif backend.get("port") not in [p.get("port") for _, p in entries(service.spec, "ports")]:
            yield route.problem(
                (*path, "port"),
                f"Service {name!r} has no port {backend.get('port')!r}",
                "use the Service's port, not the container's",
            )


def _granted(route: Resource, namespace: str, world: World) -> bool:
    return any(
        text(source, "namespace") == route.namespace and text(source, "kind") == route.kind
        for grant in world.index.of_kind(f"{GATEWAY}/ReferenceGrant")
        if grant.namespace == namespace
        for _, source in entries(grant.spec, "from")
    )


@rule(
    id="route-parent-exists",
    title="A route's Gateway and listener exist",
    severity="error",
    rationale="A route that attaches to nothing is never programmed.",
    references=[_API + "#parentreference"],
    kinds=_ROUTES,
)
def route_parent_exists(route: Resource, world: World) -> Iterator[Problem]:
    """Each parentRef to a Gateway of the same namespace resolves, with its section."""
    for i, parent in entries(route.spec, "parentRefs"):
        namespace = text(parent, "namespace") or route.namespace
        if field(parent, "kind") not in (None, "Gateway") or namespace != route.namespace:
            continue
        name, section = text(parent, "name"), text(parent, "sectionName")
        gateway = world.index.get(f"{GATEWAY}/Gateway", namespace, name)
        path = ("spec", "parentRefs", i)
        if gateway is None:
            yield route.problem(
                (*path, "name"), f"there is no Gateway {name!r}", "name an existing Gateway"
            )
        elif section and section not in _listeners(gateway):
            yield route.problem(
                (*path, "sectionName"),
                f"Gateway {name!r} has no listener {section!r}",
                "name one of its listeners",
            )


def _listeners(gateway: Resource) -> dict[str, dict[str, Any]]:
    return {text(item, "name"): item for _, item in entries(gateway.spec, "listeners")}


@rule(
    id="route-weights-in-git",
    title="Git holds 100/0 for the stable and canary Service",
    severity="error",
    rationale=(
        "The traffic router writes the weights; any other value in Git moves traffic at a sync."
    ),
    references=["https://argoproj.github.io/argo-rollouts/features/traffic-management/"],
    kinds=[f"{GATEWAY}/HTTPRoute", f"{GATEWAY}/GRPCRoute"],
)
def route_weights_in_git(route: Resource, world: World) -> Iterator[Problem]:
    """A rule with both Services of a Rollout gives stable 100 and canary 0."""
    for rollout in world.index.of_kind("argoproj.io/Rollout"):
        canary = mapping(rollout.spec, "strategy", "canary")
        weights = {text(canary, "stableService"): 100, text(canary, "canaryService"): 0}
        if rollout.namespace != route.namespace or len(weights) < 2:
            continue
        for path, backend in backends(route):
            wanted = weights.get(text(backend, "name"))
            if wanted is not None and field(backend, "weight") != wanted:
                yield route.problem(
                    (*path, "weight"),
                    f"weight is {field(backend, 'weight')!r} in Git",
                    f"write weight: {wanted} and let the rollout controller change it",
                )


@rule(
    id="rollout-route-exists",
    title="The route that a Rollout steers exists",
    severity="error",
    rationale="The traffic router plugin fails at the first setWeight when its route is missing.",
    references=["https://rollouts-plugin-trafficrouter-gatewayapi.readthedocs.io/"],
    kinds=["argoproj.io/Rollout"],
)
def rollout_route_exists(rollout: Resource, world: World) -> Iterator[Problem]:
    """The Gateway API plugin names a route of the build that splits between both Services."""
    path = ("spec", "strategy", "canary", "trafficRouting", "plugins", "argoproj-labs/gatewayAPI")
    settings = mapping(rollout.content, *path)
    names: list[tuple[Path, str]] = []
    if "httpRoute" in settings:
        names.append((("httpRoute",), text(settings, "httpRoute")))
    names += [
        (("httpRoutes", i, "name"), text(item, "name"))
        for i, item in entries(settings, "httpRoutes")
    ]
    namespace = text(settings, "namespace") or rollout.namespace
    canary = mapping(rollout.spec, "strategy", "canary")
    wanted = {text(canary, "stableService"), text(canary, "canaryService")}
    for step, name in names:
        route = world.index.get(f"{GATEWAY}/HTTPRoute", namespace, name)
        if route is None:
            yield rollout.problem(
                (*path, *step),
                f"there is no HTTPRoute {name!r} in namespace {namespace!r}",
                "name the route and its namespace as they are rendered",
            )
        elif not wanted <= {text(backend, "name") for _, backend in backends(route)}:
            yield rollout.problem(
                (*path, *step),
                f"HTTPRoute {name!r} does not split between the stable and the canary Service",
                "add both Services as backendRefs, weights 100 and 0",
            )


@rule(
    id="gateway-certificate-exists",
    title="A TLS listener's certificate is produced here",
    severity="error",
    rationale="A listener whose Secret nobody makes serves no TLS.",
    references=[_API + "#gatewaytlsconfig"],
    kinds=[f"{GATEWAY}/Gateway"],
)
def gateway_certificate_exists(gateway: Resource, world: World) -> Iterator[Problem]:
    """Each certificateRef is a Secret that a Certificate or another object of the build makes."""
    for i, listener in entries(gateway.spec, "listeners"):
        for j, reference in entries(listener, "tls", "certificateRefs"):
            namespace = text(reference, "namespace") or gateway.namespace
            name = text(reference, "name")
            if (namespace, name) not in secret_keys(world):
                yield gateway.problem(
                    ("spec", "listeners", i, "tls", "certificateRefs", j, "name"),
                    f"no Certificate or Secret makes {name!r} in namespace {namespace!r}",
                    "set a Certificate's secretName to it, in the Gateway's namespace",
                )


@rule(
    id="certificate-covers-hosts",
    title="A listener's certificate covers its host name",
    severity="error",
    rationale="Clients refuse a certificate for another name.",
    references=["https://cert-manager.io/docs/usage/certificate/"],
    kinds=[f"{GATEWAY}/Gateway"],
)
def certificate_covers_hosts(gateway: Resource, world: World) -> Iterator[Problem]:
    """The host name of a TLS listener is among the dnsNames of one of its Certificates."""
    for i, listener in entries(gateway.spec, "listeners"):
        host = text(listener, "hostname")
        secrets = {text(r, "name") for _, r in entries(listener, "tls", "certificateRefs")}
        names = [
            name
            for certificate in world.index.of_kind("cert-manager.io/Certificate")
            if certificate.namespace == gateway.namespace
            and text(certificate.spec, "secretName") in secrets
            for name in sequence(certificate.spec, "dnsNames")
        ]
        if host and names and not any(_covers(str(name), host) for name in names):
            yield gateway.problem(
                ("spec", "listeners", i, "hostname"),
                f"the certificate is for {', '.join(map(str, names))}, not for {host}",
                "add the host name to the Certificate's dnsNames",
            )


def _covers(name: str, host: str) -> bool:
    if name.startswith("*.") and not host.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return name == host


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
        )
        section = text(parent, "sectionName")
        for name, listener in _listeners(gateway).items() if gateway else ():
            if section in ("", name):
                hosts.append(text(listener, "hostname"))
    for i, host in enumerate(sequence(route.spec, "hostnames")):
        if hosts and not any(h == "" or _meets(h, str(host)) for h in hosts):
            yield route.problem(
                ("spec", "hostnames", i),
                f"no listener of its parents serves {host}",
                f"the listeners serve {', '.join(sorted(set(hosts)))}",
            )


def _meets(one: str, other: str) -> bool:
    if one == other:
        return True
    for wild, plain in ((one, other), (other, one)):
        if wild.startswith("*.") and plain.endswith(wild[1:]):
            return True
    return False


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
        elif kind == "Gateway" and section and section not in _listeners(found):
            yield policy.problem(
                ("spec", "targetRefs", i, "sectionName"),
                f"Gateway {name!r} has no listener {section!r}",
                "name one of its listeners",
            )
