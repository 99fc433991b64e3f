"""Promises about the way in: routes, gateways, certificates, and what a gateway asks for."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries
from gitops_policy.model import Index

from mutants.mutation import (
    GONE,
    Mutation,
    at,
    change,
    operator,
    remove,
)

ROUTE = "gateway.networking.k8s.io/HTTPRoute"
GATEWAY = "gateway.networking.k8s.io/Gateway"
CERTIFICATE = "cert-manager.io/Certificate"

# Routes.
BACKENDS = ("spec", "rules", "*", "backendRefs", "*")
change(
    "route-to-missing-service",
    "a route reaches a Service",
    at(ROUTE, *BACKENDS, "name"),
    "inferense",
)
change("route-to-wrong-port", "a route reaches a port", at(ROUTE, *BACKENDS, "port"), 8080)
change("route-without-port", "a route names a port", at(ROUTE, *BACKENDS, "port"), GONE)
change(
    "route-to-missing-gateway",
    "a route hangs on a gateway",
    at(ROUTE, "spec", "parentRefs", "*", "name"),
    "edge",
)
change(
    "route-to-missing-listener",
    "a route hangs on a listener",
    at(ROUTE, "spec", "parentRefs", "*", "sectionName"),
    "internal",
)
change(
    "route-for-another-host",
    "a route's host is one of its listener",
    at(ROUTE, "spec", "hostnames"),
    ["other.example.org"],
)
remove("remove-route", "requests reach the server", ROUTE, "inference")
change(
    "route-from-another-namespace",
    "a route crosses namespaces only with a grant",
    at(ROUTE, *BACKENDS),
    lambda ref: {**ref, "namespace": "kube-public"},
)


@operator("weights-in-git", "Git says all to stable, nothing to canary")
def weights_in_git(index: Index) -> Iterator[Mutation]:
    """Give the canary a share, or the stable nothing."""
    for resource, path in at(ROUTE, "spec", "rules", "*", "backendRefs")(index):
        for i, backend in entries(resource.content, *path):
            changed = 20 if backend["name"].endswith("canary") else 0
            if backend.get("weight") is not None:
                yield Mutation(resource, (((*path, i, "weight"), changed),))


# Gateways and certificates.
LISTENERS = ("spec", "listeners", "*")
change(
    "listener-for-another-host",
    "a listener serves the route's host",
    at(GATEWAY, *LISTENERS, "hostname"),
    "other.example.org",
)
change(
    "listener-without-certificate", "HTTPS has a certificate", at(GATEWAY, *LISTENERS, "tls"), GONE
)
change(
    "listener-with-wrong-certificate",
    "the certificate exists",
    at(GATEWAY, *LISTENERS, "tls", "certificateRefs", "*", "name"),
    "edge-tls",
)
change(
    "listener-without-encryption",
    "requests are encrypted",
    at(GATEWAY, "spec", "listeners", 1, "protocol"),
    "HTTP",
)
change(
    "listener-for-all-namespaces",
    "no other namespace takes the host",
    at(GATEWAY, *LISTENERS, "allowedRoutes", "namespaces", "from"),
    "All",
)
change(
    "gateway-of-missing-class",
    "somebody makes the gateway",
    at(GATEWAY, "spec", "gatewayClassName"),
    "nginx",
)
change("listener-renamed", "routes find their listener", at(GATEWAY, *LISTENERS, "name"), "web")
change(
    "listeners-clash",
    "listeners differ",
    at(GATEWAY, "spec", "listeners"),
    lambda ls: [*ls, {**ls[0], "name": "again"}],
)
remove("remove-gateway", "requests reach the server", GATEWAY)
change(
    "certificate-in-wrong-secret",
    "the listener finds the certificate",
    at(CERTIFICATE, "spec", "secretName"),
    "inference-certificate",
)
change(
    "certificate-for-another-host",
    "the certificate names the host",
    at(CERTIFICATE, "spec", "dnsNames"),
    ["other.example.org"],
)
change(
    "certificate-of-missing-issuer",
    "somebody signs the certificate",
    at(CERTIFICATE, "spec", "issuerRef", "name"),
    "letsencrypt",
)
change(
    "certificate-of-wrong-issuer-kind",
    "somebody signs the certificate",
    at(CERTIFICATE, "spec", "issuerRef", "kind"),
    "Issuer",
)
remove("remove-certificate", "HTTPS has a certificate", CERTIFICATE)

# Policies of the gateway.
ENVOY = "gateway.envoyproxy.io/"
for _kind in ("BackendTrafficPolicy", "ClientTrafficPolicy", "SecurityPolicy"):
    change(
        f"{_kind.lower()}-of-nobody",
        "a policy has its target",
        at(ENVOY + _kind, "spec", "targetRefs", "*", "name"),
        "edge",
    )
remove("remove-authentication", "requests need a key", ENVOY + "SecurityPolicy")
change(
    "authentication-without-keys",
    "requests need a key",
    at(ENVOY + "SecurityPolicy", "spec", "apiKeyAuth"),
    GONE,
)
change(
    "authentication-by-missing-secret",
    "the keys exist",
    at(ENVOY + "SecurityPolicy", "spec", "apiKeyAuth", "credentialRefs", "*", "name"),
    "api-keys",
)
change(
    "old-tls",
    "TLS is recent",
    at(ENVOY + "ClientTrafficPolicy", "spec", "tls", "minVersion"),
    "1.0",
)
