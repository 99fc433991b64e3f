"""Argo CD and controllers: each field has one owner."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.applications import (
    ignored,
    ignores,
    options,
    self_heals,
    synced,
)
from gitops_policy.argo.generated_applications import APPLICATIONS, also_of_sets
from gitops_policy.fields import field, mapping, steps, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.gateway_routes import GATEWAY, backends
from gitops_policy.kubernetes.scaling import HPA, SCALED_OBJECT, target
from gitops_policy.model import Index, Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_DIFFING = "https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/"
_SYNC = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/"
_HASH = "/spec/selector/rollouts-pod-template-hash"


@rule(
    id="application-server-side-apply",
    title="Rollouts and CRDs are applied server-side",
    severity="error",
    rationale="A client-side patch of a Rollout may come out empty; large CRDs do not fit at all.",
    references=[_SYNC + "#server-side-apply"],
    kinds=APPLICATIONS,
)
@also_of_sets
def application_server_side_apply(application: Resource, world: World) -> Iterator[Problem]:
    """syncOptions has ServerSideApply=true where a Rollout or CRD is rendered."""
    wanted = ("argoproj.io/Rollout", "apiextensions.k8s.io/CustomResourceDefinition")
    for _, index in synced(application, world):
        if index.of_kind(*wanted) and "ServerSideApply=true" not in options(application):
            yield application.problem(
                ("spec", "syncPolicy", "syncOptions"),
                "it applies a Rollout or CRD client-side",
                "add ServerSideApply=true",
            )


def _scaled(index: Index) -> Iterator[tuple[Resource, bool]]:
    """Yield what an autoscaler scales, and whether Git writes its replicas as well."""
    for autoscaler in index.of_kind(HPA, SCALED_OBJECT):
        kind, name = target(autoscaler)
        found = index.get(kind, autoscaler.namespace, name)
        if found is not None:
            yield found, "replicas" in found.spec
        elif name and "/" in kind:
            group, _, plain = kind.rpartition("/")
            content = {"apiVersion": f"{group}/v1", "kind": plain, "metadata": {"name": name}}
            yield Resource(content, autoscaler.namespace), False


def _split(index: Index) -> Iterator[tuple[Resource, str]]:
    """Yield each Service and route of a traffic-routed Rollout with the pointer to ignore."""
    for rollout in index.of_kind("argoproj.io/Rollout"):
        canary = mapping(rollout.spec, "strategy", "canary")
        names = {text(canary, "stableService"), text(canary, "canaryService")} - {""}
        for name in sorted(names):
            service = index.get("Service", rollout.namespace, name)
            if service is not None:
                yield service, _HASH
        for route in index.of_kind(f"{GATEWAY}/HTTPRoute"):
            for path, backend in backends(route):
                if route.namespace == rollout.namespace and text(backend, "name") in names:
                    yield route, "/" + "/".join(map(str, path)) + "/weight"


@rule(
    id="application-ignores-replicas",
    title="Argo CD leaves the replicas to the autoscaler",
    severity="error",
    rationale="Self-heal sets an ignored-by-nobody replica count back under load.",
    references=[_DIFFING],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:hpa-selfheal-conflict"],
)
@also_of_sets
def application_ignores_replicas(application: Resource, world: World) -> Iterator[Problem]:
    """ignoreDifferences has /spec/replicas of each workload that an autoscaler scales.

    It is information as long as Git writes no replicas: nothing resets them yet.
    """
    for _, index in synced(application, world):
        for workload, written in _scaled(index):
            covered = ignores(application, workload, "/spec/replicas")
            if not covered and (written or self_heals(application)):
                yield application.problem(
                    ("spec", "ignoreDifferences"),
                    f"/spec/replicas of {workload.id} is the autoscaler's",
                    f"add group: {workload.group}, kind: {workload.kind}, this jsonPointer",
                    severity=None if written else Severity.info,
                )


@rule(
    id="application-ignores-traffic-split",
    title="Argo CD leaves traffic to the rollout controller",
    severity="error",
    rationale="A sync in mid-canary puts the route back to 100/0: the gate then measures nothing.",
    references=[_DIFFING, "https://argoproj.github.io/argo-rollouts/features/traffic-management/"],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:missing-ignore-diff"],
)
@also_of_sets
def application_ignores_traffic_split(application: Resource, world: World) -> Iterator[Problem]:
    """ignoreDifferences has the hash of both Services and the weights of the route."""
    for _, index in synced(application, world):
        for resource, pointer in _split(index):
            if not ignores(application, resource, pointer):
                yield application.problem(
                    ("spec", "ignoreDifferences"),
                    f"{pointer} of {resource.id} is the rollout controller's",
                    f"add kind: {resource.kind} with this jsonPointer",
                )


@rule(
    id="application-respects-ignored",
    title="Ignored fields are ignored while syncing, too",
    severity="error",
    rationale=(
        "ignoreDifferences alone hides the difference; the next sync still overwrites the field."
    ),
    references=[_SYNC + "#respect-ignore-difference-configs", _DIFFING],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:hpa-selfheal-conflict"],
)
@also_of_sets
def application_respects_ignored(application: Resource) -> Iterator[Problem]:
    """With ignoreDifferences: RespectIgnoreDifferences=true, and ServerSideDiff=true."""
    if not application.spec.get("ignoreDifferences"):
        return
    if "RespectIgnoreDifferences=true" not in options(application):
        yield application.problem(
            ("spec", "syncPolicy", "syncOptions"),
            "a sync overwrites the ignored fields",
            "add RespectIgnoreDifferences=true",
        )
    compare = str(application.annotations.get("argocd.argoproj.io/compare-options", ""))
    if "ServerSideApply=true" in options(application) and "ServerSideDiff=true" not in compare:
        yield application.problem(
            ("metadata", "annotations", "argocd.argoproj.io/compare-options"),
            "client-side diffing shows server-side objects OutOfSync for ever",
            "set it to ServerSideDiff=true",
        )


@rule(
    id="application-ignores-scalars",
    title="Argo CD ignores single values only",
    severity="error",
    rationale="An ignored list or mapping makes Argo CD lose the other changes inside it.",
    references=[_DIFFING],
    kinds=APPLICATIONS,
)
@also_of_sets
def application_ignores_scalars(application: Resource, world: World) -> Iterator[Problem]:
    """No ignored JSON pointer leads to a list or mapping of the render."""
    for _, index in synced(application, world):
        for resource in index.resources:
            for pointer in sorted(ignored(application, resource)):
                if isinstance(field(resource.content, *steps(pointer)), (dict, list)):
                    yield application.problem(
                        ("spec", "ignoreDifferences"),
                        f"{pointer} of {resource.id} is not a single value",
                        "ignore the one value that a controller writes",
                    )
