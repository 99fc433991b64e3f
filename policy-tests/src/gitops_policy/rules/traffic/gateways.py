"""Gateways: certificates, host names and policies that meet their listeners."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.kubernetes.certificates import covers, names_of, produced
from gitops_policy.kubernetes.gateway_routes import GATEWAY, ROUTES, granted
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World, once

_API = "https://gateway-api.sigs.k8s.io/reference/spec/"


@rule(
    id="gateway-certificate-exists",
    title="A TLS listener's certificate is produced here",
    severity="error",
    rationale="A listener whose Secret nobody makes serves no TLS.",
    references=[_API + "#gatewaytlsconfig"],
    kinds=[f"{GATEWAY}/Gateway"],
    needs_whole=True,
)
def gateway_certificate_exists(gateway: Resource, world: World) -> Iterator[Problem]:
    """Each certificateRef is a Secret that a Certificate or another object of the build makes."""
    for path, namespace, name in _certificate_references(gateway):
        if not produced(world, gateway, namespace, name):
            yield gateway.problem(
                (*path, "name"),
                f"no Certificate or Secret makes {name!r} in namespace {namespace!r}",
                "set a Certificate's secretName to it, in the Gateway's namespace",
            )


def _certificate_references(gateway: Resource) -> Iterator[tuple[Path, str, str]]:
    for i, listener in entries(gateway.spec, "listeners"):
        for j, reference in entries(listener, "tls", "certificateRefs"):
            if text(reference, "kind") in ("", "Secret"):
                path: Path = ("spec", "listeners", i, "tls", "certificateRefs", j)
                namespace = text(reference, "namespace") or gateway.namespace
                yield path, namespace, text(reference, "name")


@rule(
    id="gateway-certificate-granted",
    title="A certificate of another namespace is granted there",
    severity="error",
    rationale="Without a ReferenceGrant the listener is not programmed.",
    references=[_API + "#referencegrant"],
    kinds=[f"{GATEWAY}/Gateway"],
    known_as=["polaris:gatewayCrossNamespaceCertificateRef"],
)
def gateway_certificate_granted(gateway: Resource, world: World) -> Iterator[Problem]:
    """A ReferenceGrant of the Secret's namespace names Gateways of this namespace."""
    for path, namespace, name in _certificate_references(gateway):
        foreign = namespace != gateway.namespace
        if foreign and not granted(gateway, namespace, "Secret", name, world):
            yield gateway.problem(
                (*path, "namespace"),
                f"no ReferenceGrant in namespace {namespace!r} allows this reference",
                "add a ReferenceGrant there, or keep the Secret beside the Gateway",
            )


@rule(
    id="gateway-listener-tls",
    title="A TLS listener has a certificate",
    severity="error",
    rationale="A listener that ends TLS without a certificate is not programmed.",
    references=[_API + "#listenertlsconfig"],
    kinds=[f"{GATEWAY}/Gateway"],
    known_as=["polaris:gatewayTLSMissing"],
)
def gateway_listener_tls(gateway: Resource) -> Iterator[Problem]:
    """HTTPS listeners, and TLS ones that end it, have certificateRefs or options."""
    for i, listener in entries(gateway.spec, "listeners"):
        protocol, tls = text(listener, "protocol"), mapping(listener, "tls")
        passed = protocol == "TLS" and text(tls, "mode") == "Passthrough"
        if protocol not in ("HTTPS", "TLS", "GRPC") or passed:
            continue
        if not sequence(tls, "certificateRefs") and not mapping(tls, "options"):
            yield gateway.problem(
                ("spec", "listeners", i, "tls", "certificateRefs"),
                "the listener ends TLS without a certificate",
                "name the certificate's Secret in certificateRefs",
            )


@rule(
    id="gateway-routes-from-known-namespaces",
    title="A Gateway says which namespaces may attach routes",
    severity="warning",
    rationale="With `All`, any namespace may take a host of this Gateway.",
    references=["https://gateway-api.sigs.k8s.io/guides/multiple-ns/"],
    kinds=[f"{GATEWAY}/Gateway"],
    known_as=["polaris:gatewayAllowedRoutesAll"],
)
def gateway_routes_from_known_namespaces(gateway: Resource) -> Iterator[Problem]:
    """No listener has `allowedRoutes.namespaces.from: All`."""
    for i, listener in entries(gateway.spec, "listeners"):
        path = ("allowedRoutes", "namespaces", "from")
        if text(listener, *path) == "All":
            yield gateway.problem(
                ("spec", "listeners", i, *path),
                "routes of every namespace may attach",
                "write Same, or Selector with the namespaces' label",
            )


@rule(
    id="gateway-client-certificate-required",
    title="A Gateway that checks client certificates refuses bad ones",
    severity="error",
    rationale="AllowInsecureFallback serves clients whose certificate is missing or wrong.",
    references=[_API + "#frontendtlsvalidation"],
    kinds=[f"{GATEWAY}/Gateway"],
    known_as=["polaris:gatewayInsecureFrontendValidation"],
)
def gateway_client_certificate_required(gateway: Resource) -> Iterator[Problem]:
    """No validation of the frontend has `mode: AllowInsecureFallback`."""
    base: Path = ("spec", "tls", "frontend")
    ports = entries(gateway.content, *base, "perPort")
    places: list[Path] = [(*base, "default", "validation", "mode")]
    places += [(*base, "perPort", i, "tls", "validation", "mode") for i, _ in ports]
    for path in places:
        if text(gateway.content, *path) == "AllowInsecureFallback":
            yield gateway.problem(path, "bad client certificates pass", "write AllowValidOnly")


@rule(
    id="certificate-covers-hosts",
    title="A listener's certificate covers its host name",
    severity="error",
    rationale="Clients refuse a certificate for another name.",
    references=["https://cert-manager.io/docs/usage/certificate/"],
    kinds=[f"{GATEWAY}/Gateway"],
)
def certificate_covers_hosts(gateway: Resource, world: World) -> Iterator[Problem]:
    """The host name of a TLS listener is among the dnsNames of one of its Certificates.

    Of a listener without host name the routes say the hosts.
    """
    for i, listener in entries(gateway.spec, "listeners"):
        secrets = {text(r, "name") for _, r in entries(listener, "tls", "certificateRefs")}
        names = names_of(world, gateway.namespace, secrets)
        own = text(listener, "hostname")
        hosts = [own] if own else _route_hosts(gateway, text(listener, "name"), world)
        for host in hosts if names else ():
            if not any(covers(name, host) for name in names):
                yield gateway.problem(
                    ("spec", "listeners", i, "hostname" if own else "tls"),
                    f"the certificate is for {', '.join(names)}, not for {host}",
                    "add the host name to the Certificate's dnsNames",
                )


def _route_hosts(gateway: Resource, section: str, world: World) -> list[str]:
    """Return the host names of the routes that attach to a listener."""
    found = _hosts(world)
    place = (gateway.namespace, gateway.name)
    return sorted({*found.get((*place, section), ()), *found.get((*place, ""), ())})


@once
def _hosts(world: World) -> dict[tuple[str, str, str], set[str]]:
    """Return the host names of routes for each Gateway and section that they name."""
    found: dict[tuple[str, str, str], set[str]] = {}
    for route in world.index.of_kind(*ROUTES):
        for _, parent in entries(route.spec, "parentRefs"):
            namespace = text(parent, "namespace") or route.namespace
            place = (namespace, text(parent, "name"), text(parent, "sectionName"))
            found.setdefault(place, set()).update(map(str, sequence(route.spec, "hostnames")))
    return found
