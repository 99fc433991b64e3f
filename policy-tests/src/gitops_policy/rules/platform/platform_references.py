"""What overlays ask of the platform is there: issuers, secret stores, gateway classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gitops_policy.argo.applications import all_applications, synced
from gitops_policy.fields import Path, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_APPS = "https://argo-cd.readthedocs.io/en/stable/operator-manual/cluster-bootstrapping/"
# Who asks, by which field, for an object of which kinds; the field beside it says the kind.
_ASKED: dict[str, tuple[tuple[Path, Path, dict[str, str]], ...]] = {
    "cert-manager.io/Certificate": (
        (
            ("spec", "issuerRef", "name"),
            ("spec", "issuerRef", "kind"),
            {
                "ClusterIssuer": "cert-manager.io/ClusterIssuer",
                "Issuer": "cert-manager.io/Issuer",
                "": "cert-manager.io/Issuer",
            },
        ),
    ),
    "external-secrets.io/ExternalSecret": (
        (
            ("spec", "secretStoreRef", "name"),
            ("spec", "secretStoreRef", "kind"),
            {
                "ClusterSecretStore": "external-secrets.io/ClusterSecretStore",
                "SecretStore": "external-secrets.io/SecretStore",
                "": "external-secrets.io/SecretStore",
            },
        ),
    ),
    "gateway.networking.k8s.io/Gateway": (
        (
            ("spec", "gatewayClassName"),
            (),
            {"": "gateway.networking.k8s.io/GatewayClass"},
        ),
    ),
}
_GROUPS = {wanted for asked in _ASKED.values() for *_, kinds in asked for wanted in kinds.values()}


@dataclass(frozen=True, slots=True)
class _Want:
    """A reference to an object of the platform, with who asks."""

    resource: Resource
    path: Path
    kind: str
    namespace: str
    name: str


@rule(
    id="platform-reference-resolves",
    title="What an Application asks of the platform, another one delivers",
    severity="error",
    rationale="A Certificate without issuer, or a Gateway without class, waits without an error.",
    references=[_APPS],
    kinds=BUILD,
)
def platform_reference_resolves(world: World) -> Iterator[Problem]:
    """Issuers, secret stores and gateway classes exist, where this repository delivers such.

    Kinds of a family (ClusterIssuer and Issuer) that no Application delivers come from elsewhere.
    """
    delivered = [
        resource
        for application in all_applications(world)
        for _, index in synced(application, world)
        for resource in index.resources
    ]
    made = {(r.group_kind, r.namespace, r.name) for r in delivered if r.group_kind in _GROUPS}
    families = {kind.partition("/")[0] for kind, _, _ in made}
    for want in (w for resource in delivered for w in _wants(resource)):
        known = want.kind.partition("/")[0] in families
        if known and (want.kind, want.namespace, want.name) not in made:
            yield Problem(
                want.resource,
                want.path,
                f"no Application delivers {want.kind} {want.name!r}",
                "name one that is delivered, or deliver it",
            )


def _wants(resource: Resource) -> Iterator[_Want]:
    for path, kind_path, kinds in _ASKED.get(resource.group_kind, ()):
        name = text(resource.content, *path)
        kind = kinds.get(text(resource.content, *kind_path) if kind_path else "", "")
        if name and kind:
            cluster_wide = kind.partition("/")[2].startswith(("Cluster", "GatewayClass"))
            yield _Want(resource, path, kind, "" if cluster_wide else resource.namespace, name)
