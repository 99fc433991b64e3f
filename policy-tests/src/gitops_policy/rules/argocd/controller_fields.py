"""What controllers write: Argo CD must leave it alone, and Git must not hold it."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from gitops_policy.argo.applications import APPLICATION, ignores, self_heals, synced
from gitops_policy.fields import Path, entries, field, mapping, pointer, text
from gitops_policy.kubernetes.producers import secret_sources
from gitops_policy.kubernetes.secret_makers import made_by
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_DIFFING = "https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/"
_CA = "https://cert-manager.io/docs/concepts/ca-injector/"
_INJECTED = "cert-manager.io/inject-ca-from"
_WEBHOOKS = (
    "admissionregistration.k8s.io/ValidatingWebhookConfiguration",
    "admissionregistration.k8s.io/MutatingWebhookConfiguration",
)
_DEFAULTED = ("conversionStrategy", "decodingStrategy", "metadataPolicy")
# What the instances of a database show each other.
_AMONG_THEMSELVES = ("-server", "-replication")
_SCALED_BY_OTHERS = ("kueue.x-k8s.io/queue-name",)


def _bundles(resource: Resource) -> Iterator[Path]:
    """Yield the CA bundles that cert-manager's injector writes."""
    if not any(str(key).startswith(_INJECTED) for key in resource.annotations):
        return
    if resource.group_kind in _WEBHOOKS:
        for i, _ in entries(resource.content, "webhooks"):
            yield ("webhooks", i, "clientConfig", "caBundle")
    elif resource.group_kind == "apiregistration.k8s.io/APIService":
        yield ("spec", "caBundle")
    elif resource.group_kind == "apiextensions.k8s.io/CustomResourceDefinition":
        yield ("spec", "conversion", "webhook", "clientConfig", "caBundle")


def _suspended(resource: Resource) -> Iterator[Path]:
    """Yield spec.suspend of a Job that a queue starts."""
    queued = any(label in resource.labels for label in _SCALED_BY_OTHERS)
    if resource.group_kind == "batch/Job" and queued:
        yield ("spec", "suspend")


def _revision(resource: Resource) -> Iterator[Path]:
    """Yield the revision that the workload's controller counts."""
    for name in ("deployment.kubernetes.io/revision", "rollout.argoproj.io/revision"):
        if name in resource.annotations:
            yield ("metadata", "annotations", name)


_WRITTEN: tuple[Callable[[Resource], Iterator[Path]], ...] = (_bundles, _suspended, _revision)


@rule(
    id="application-ignores-controller-fields",
    title="Argo CD leaves to controllers what they write",
    severity="warning",
    rationale="Git and a controller write one field in turn: OutOfSync for ever, or an outage.",
    references=[_DIFFING, _CA],
    kinds=[APPLICATION],
)
def application_ignores_controller_fields(application: Resource, world: World) -> Iterator[Problem]:
    """Rendered CA bundles, revisions and queued Jobs' suspend are in ignoreDifferences."""
    for _, index in synced(application, world):
        for resource in index.resources:
            for path in (path for written in _WRITTEN for path in written(resource)):
                there = field(resource.content, *path) is not None
                if there and not ignores(application, resource, pointer(path)):
                    yield application.problem(
                        ("spec", "ignoreDifferences"),
                        f"{pointer(path)} of {resource.id} is a controller's",
                        "remove the field from Git, or add its jsonPointer",
                    )


@rule(
    id="secret-has-one-maker",
    title="A Secret is made by one object",
    severity="error",
    rationale="Two makers overwrite each other: who reads it gets the one or the other.",
    references=["https://external-secrets.io/latest/api/externalsecret/", _DIFFING],
    kinds=[
        "Secret",
        "external-secrets.io/ExternalSecret",
        "cert-manager.io/Certificate",
        "bitnami.com/SealedSecret",
        "postgresql.cnpg.io/Cluster",
    ],
)
def secret_has_one_maker(resource: Resource, world: World) -> Iterator[Problem]:
    """No Secret of a controller stands in Git too, or is made by a second object.

    ExternalSecrets may merge into one; two Certificates of one Secret fight over it. A Secret
    with labels and no data only brings the labels.
    """
    if _is_empty(resource):
        return
    for namespace, name, _ in made_by(resource):
        sources = secret_sources(world).get((namespace, name), [])
        full = (other for other in sources if not _is_empty(other))
        beside = [other for other in full if not world.apart(other, resource)]
        others = [other for other in beside if other is not resource]
        first = beside and beside[0] is resource
        if not others or first or _merges(resource) or all(map(_merges, others)):
            continue
        yield resource.problem(
            _named_at(resource),
            f"Secret {name!r} is also made by {others[0].id}",
            "leave it to one of them",
        )


def _is_empty(resource: Resource) -> bool:
    """Say whether a Secret has labels and no data: its maker keeps the one and adds the other."""
    held = any(mapping(resource.content, key) for key in ("data", "stringData"))
    return resource.group_kind == "Secret" and bool(resource.labels) and not held


def _merges(resource: Resource) -> bool:
    return text(resource.spec, "target", "creationPolicy") == "Merge"


def _named_at(resource: Resource) -> Path:
    if text(resource.spec, "secretName"):
        return ("spec", "secretName")
    named = text(resource.spec, "target", "name")
    return ("spec", "target", "name") if named else ("metadata", "name")


@rule(
    id="application-ignores-made-secrets",
    title="Argo CD ignores the Secrets that operators make",
    severity="info",
    rationale="With tracking by label, an operator's Secret may look like the Application's own.",
    references=[_DIFFING],
    kinds=[APPLICATION],
    known_as=["argocd-source-lint:missing-ignore-diff"],
    default=False,
)
def application_ignores_made_secrets(application: Resource, world: World) -> Iterator[Problem]:
    """With self-heal, ignoreDifferences names each Secret that a rendered object makes."""
    for _, index in synced(application, world) if self_heals(application) else ():
        for resource in index.resources:
            for name in _made_names(resource):
                content = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}}
                if not _mentions(application, Resource(content, resource.namespace)):
                    yield application.problem(
                        ("spec", "ignoreDifferences"),
                        f"nothing is ignored of Secret {name!r}, which {resource.id} makes",
                        "add kind: Secret with its name",
                    )


def _made_names(resource: Resource) -> list[str]:
    if resource.group_kind in ("Secret", "bitnami.com/SealedSecret"):
        return []
    return [
        name
        for namespace, name, _ in made_by(resource)
        if namespace == resource.namespace and not name.endswith(_AMONG_THEMSELVES)
    ]


def _mentions(application: Resource, secret: Resource) -> bool:
    return any(
        text(item, "kind") in ("Secret", "*")
        and text(item, "group") in ("", "*")
        and text(item, "name") in ("", secret.name)
        and text(item, "namespace") in ("", secret.namespace)
        for _, item in entries(application.spec, "ignoreDifferences")
    )


@rule(
    id="external-secret-in-sync",
    title="An ExternalSecret is compared server-side",
    severity="info",
    rationale="Its webhook fills in fields of list items: compared by text it is never in sync.",
    references=["https://external-secrets.io/latest/introduction/faq/", _DIFFING],
    kinds=[APPLICATION],
)
def external_secret_in_sync(application: Resource, world: World) -> Iterator[Problem]:
    """With self-heal: ServerSideDiff, ServerSideApply, ignored fields, or the defaults written."""
    options = mapping(application.content, "metadata", "annotations")
    compared = "ServerSideDiff=true" in str(options.get("argocd.argoproj.io/compare-options"))
    for _, index in synced(application, world) if self_heals(application) else ():
        for secret in index.of_kind("external-secrets.io/ExternalSecret"):
            data = [mapping(item, "remoteRef") for _, item in entries(secret.spec, "data")]
            written = all(set(_DEFAULTED) <= set(reference) for reference in data)
            covered = compared or written or ignores(application, secret, "/spec/data")
            if not covered:
                yield application.problem(
                    ("metadata", "annotations", "argocd.argoproj.io/compare-options"),
                    f"defaults of {secret.id} differ from Git for ever",
                    "set ServerSideDiff=true",
                )
