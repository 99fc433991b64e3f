"""Gateways: certificates, host names and policies that meet their listeners."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.producers import secret_keys
from gitops_policy.registry import rule
from gitops_policy.rules.routes import GATEWAY, listeners
from gitops_policy.world import World

_API = "https://gateway-api.sigs.k8s.io/reference/spec/"


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
        for name, listener in listeners(gateway).items() if gateway else ():
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
        elif kind == "Gateway" and section and section not in listeners(found):
            yield policy.problem(
                ("spec", "targetRefs", i, "sectionName"),
                f"Gateway {name!r} has no listener {section!r}",
                "name one of its listeners",
            )
