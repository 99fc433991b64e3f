"""Secrets that objects other than pods read: something makes them."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, mapping, text
from gitops_policy.kubernetes.producers import secret_keys
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

# Kind -> where below its spec a name and key of a Secret stands; `*` is every item of a list.
_PLACES: dict[str, tuple[Path, ...]] = {
    "keda.sh/TriggerAuthentication": (("secretTargetRef", "*"),),
    "monitoring.coreos.com/ServiceMonitor": (
        ("endpoints", "*", "authorization", "credentials"),
        ("endpoints", "*", "basicAuth", "username"),
        ("endpoints", "*", "basicAuth", "password"),
        ("endpoints", "*", "bearerTokenSecret"),
        ("endpoints", "*", "oauth2", "clientSecret"),
        ("endpoints", "*", "tlsConfig", "keySecret"),
    ),
    "monitoring.coreos.com/PodMonitor": (
        ("podMetricsEndpoints", "*", "authorization", "credentials"),
        ("podMetricsEndpoints", "*", "basicAuth", "username"),
        ("podMetricsEndpoints", "*", "basicAuth", "password"),
        ("podMetricsEndpoints", "*", "bearerTokenSecret"),
        ("podMetricsEndpoints", "*", "oauth2", "clientSecret"),
        ("podMetricsEndpoints", "*", "tlsConfig", "keySecret"),
    ),
    "cert-manager.io/Issuer": (
        ("ca",),
        ("acme", "solvers", "*", "dns01", "cloudflare", "apiTokenSecretRef"),
        ("acme", "solvers", "*", "dns01", "route53", "secretAccessKeySecretRef"),
        ("acme", "solvers", "*", "dns01", "cloudDNS", "serviceAccountSecretRef"),
        ("acme", "externalAccountBinding", "keySecretRef"),
        ("vault", "auth", "tokenSecretRef"),
    ),
}


@rule(
    id="secret-reference-exists",
    title="Something makes each Secret that a controller is told to read",
    severity="error",
    rationale="A scaler, monitor or issuer without its login fails quietly, in its own status.",
    references=["https://kubernetes.io/docs/concepts/configuration/secret/"],
    kinds=list(_PLACES),
    needs_whole=True,
)
def secret_reference_exists(resource: Resource, world: World) -> Iterator[Problem]:
    """Names and keys of KEDA, monitors and Issuers resolve in their namespace.

    A SecretStore's own login comes from outside of Git: it is what all others come from.
    """
    made = secret_keys(world)
    for where in _PLACES[resource.group_kind]:
        for path, reference in _expand(resource.spec, where):
            name = text(reference, "name") or text(reference, "secretName")
            elsewhere = text(reference, "namespace") not in ("", resource.namespace)
            if not name or elsewhere or reference.get("optional") is True:
                continue
            keys = made.get((resource.namespace, name), frozenset())
            key = text(reference, "key")
            if (resource.namespace, name) not in made:
                message = f"nothing makes a Secret {name!r} in {resource.namespace!r}"
                yield resource.problem(("spec", *path), message, "add an ExternalSecret")
            elif key and keys is not None and key not in keys:
                message = f"Secret {name!r} has no key {key!r}"
                yield resource.problem(
                    ("spec", *path, "key"), message, "correct the key"
                ).regardless()


def _expand(
    value: object, where: Path, path: Path = ()
) -> Iterator[tuple[Path, dict[str, object]]]:
    """Yield each mapping at a place, with its path."""
    if not where:
        if isinstance(value, dict):
            yield path, value
    elif where[0] == "*":
        for i, item in enumerate(value if isinstance(value, list) else ()):
            yield from _expand(item, where[1:], (*path, i))
    elif found := mapping(value).get(str(where[0])):
        yield from _expand(found, where[1:], (*path, where[0]))
