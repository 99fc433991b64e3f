"""Certificates: who makes the Secret of a listener, and which hosts it is for."""

from __future__ import annotations

from collections.abc import Collection

from gitops_policy.fields import sequence, text
from gitops_policy.kubernetes.producers import secret_keys
from gitops_policy.model import Resource
from gitops_policy.world import World, once

# cert-manager makes the Secrets of an Ingress or Gateway that carries one of these.
_ISSUERS = ("cert-manager.io/cluster-issuer", "cert-manager.io/issuer", "kubernetes.io/tls-acme")


def covers(name: str, host: str) -> bool:
    """Say whether a certificate's DNS name is good for a host; `*` stands for one label."""
    name, host = name.lower(), host.lower()
    if name.startswith("*.") and not host.startswith("*."):
        return host.partition(".")[2] == name[2:]
    return name == host


def produced(world: World, user: Resource, namespace: str, secret: str) -> bool:
    """Say whether the build makes a TLS Secret, or cert-manager does for its user."""
    if any(key in user.annotations for key in _ISSUERS):
        return namespace == user.namespace
    return (namespace, secret) in secret_keys(world)


def names_of(world: World, namespace: str, secrets: Collection[str]) -> list[str]:
    """Return the DNS names of the Certificates that make these Secrets; empty if none does."""
    return [
        str(name)
        for secret in sorted(secrets)
        for certificate in _certificates(world).get((namespace, secret), ())
        for name in (
            *sequence(certificate.spec, "dnsNames"),
            *filter(None, [text(certificate.spec, "commonName")]),
        )
    ]


@once
def _certificates(world: World) -> dict[tuple[str, str], list[Resource]]:
    """Return the Certificates that make a Secret, by its namespace and name."""
    found: dict[tuple[str, str], list[Resource]] = {}
    for certificate in world.index.of_kind("cert-manager.io/Certificate"):
        key = (certificate.namespace, text(certificate.spec, "secretName"))
        found.setdefault(key, []).append(certificate)
    return found
