"""Argo CD Applications: paths that render, and fields that controllers own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gitops_policy.applications import (
    APPLICATION,
    ignored,
    local_paths,
    options,
    production,
    sources,
    synced,
)
from gitops_policy.build import build_kustomization, is_kustomization
from gitops_policy.fields import Path, field, mapping, text
from gitops_policy.kustomization import RenderError
from gitops_policy.model import Index, Problem, Resource
from gitops_policy.registry import BUILD, rule
from gitops_policy.rules.routes import GATEWAY, backends
from gitops_policy.scaling import HPA, SCALED_OBJECT, target
from gitops_policy.world import World

_DIFFING = "https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/"
_SYNC = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/"
_APPS = "https://argo-cd.readthedocs.io/en/stable/user-guide/application-specification/"
_HASH = "/spec/selector/rollouts-pod-template-hash"


@rule(
    id="application-path-renders",
    title="What an Application points at renders",
    severity="error",
    rationale=(
        "A missing path fails the sync; an empty one is Synced, Healthy, and deletes everything."
    ),
    references=[_APPS],
    kinds=[APPLICATION],
    known_as=["argocd-source-lint:phantom-target"],
)
def application_path_renders(application: Resource, world: World) -> Iterator[Problem]:
    """Each path in this repository exists, renders, and renders something."""
    for path, folder in local_paths(application, world):
        reason = _render_failure(folder, world)
        if reason:
            yield application.problem((*path, "path"), f"{folder}: {reason}", "correct the path")


def _render_failure(folder: str, world: World) -> str:
    build = world.workspace.build(folder) if world.workspace else None
    if build is not None:
        return "" if build.documents else "renders nothing"
    place = world.workspace.root / folder if world.workspace else None
    if place is None or not place.is_dir():
        return "there is no such folder"
    if not is_kustomization(place):
        return "" if any(place.glob("*.yaml")) else "holds no manifests"
    try:
        build_kustomization(place)
    except RenderError as error:
        return "" if error.reason.startswith("remote base") else error.reason
    return ""


@rule(
    id="overlay-owned-once",
    title="Each overlay belongs to exactly one Application",
    severity="error",
    rationale="Two owners fight over every object; without an owner nothing is delivered.",
    references=[_APPS],
    kinds=BUILD,
    known_as=["argocd-source-lint:double-coverage", "argocd-source-lint:orphan-source"],
)
def overlay_owned_once(world: World) -> Iterator[Problem]:
    """No path is synced twice, and every overlays/<env>/<component> once."""
    applications = world.index.of_kind(APPLICATION)
    if not applications or world.workspace is None:
        return
    owners: Counter[str] = Counter()
    for application in applications:
        for path, folder in local_paths(application, world):
            owners[folder] += 1
            if owners[folder] == 2:
                yield application.problem(
                    (*path, "path"), f"another Application syncs {folder} too", "keep one"
                )
    for overlay in sorted(world.workspace.root.glob("overlays/*/*")):
        name = overlay.relative_to(world.workspace.root).as_posix()
        if is_kustomization(overlay) and name not in owners:
            yield Problem(None, (), f"no Application syncs {name}", "add one under apps/")


@rule(
    id="production-revision",
    title="Production follows a named revision",
    severity="error",
    rationale="HEAD is whatever branch the host calls default today.",
    references=["https://argo-cd.readthedocs.io/en/stable/user-guide/tracking_strategies/"],
    kinds=[APPLICATION],
)
def production_revision(application: Resource) -> Iterator[Problem]:
    """An Application that delivers to production sets targetRevision, not to HEAD."""
    for path, source in sources(application) if production(application) else ():
        if text(source, "targetRevision") in ("", "HEAD"):
            yield application.problem(
                (*path, "targetRevision"),
                "it follows HEAD",
                "name a branch that is protected, a tag or a commit",
            )


@rule(
    id="production-synced-by-hand",
    title="Production is synced by a person",
    severity="error",
    rationale=(
        "With automated sync the rollback in Argo CD's UI is refused, when it is needed most."
    ),
    references=["https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/"],
    kinds=[APPLICATION],
)
def production_synced_by_hand(application: Resource) -> Iterator[Problem]:
    """An Application whose overlay is production's has no automated sync."""
    path = ("spec", "syncPolicy", "automated")
    automated = field(application.content, *path)
    on = automated is not None and field(automated, "enabled") is not False
    if on and production(application):
        yield application.problem(path, "production syncs by itself", "remove automated")


@rule(
    id="application-server-side-apply",
    title="Rollouts and CRDs are applied server-side",
    severity="error",
    rationale="A client-side patch of a Rollout may come out empty; large CRDs do not fit at all.",
    references=[_SYNC + "#server-side-apply"],
    kinds=[APPLICATION],
)
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


def _scaled(index: Index) -> Iterator[Resource]:
    for autoscaler in index.of_kind(HPA, SCALED_OBJECT):
        kind, name = target(autoscaler)
        found = index.get(kind, autoscaler.namespace, name)
        if found is not None:
            yield found


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
    kinds=[APPLICATION],
    known_as=["argocd-source-lint:hpa-selfheal-conflict"],
)
def application_ignores_replicas(application: Resource, world: World) -> Iterator[Problem]:
    """ignoreDifferences has /spec/replicas of each workload that an autoscaler scales."""
    for _, index in synced(application, world):
        for workload in _scaled(index):
            if "/spec/replicas" not in ignored(application, workload):
                yield application.problem(
                    ("spec", "ignoreDifferences"),
                    f"/spec/replicas of {workload.id} is the autoscaler's",
                    f"add group: {workload.group}, kind: {workload.kind}, this jsonPointer",
                )


@rule(
    id="application-ignores-traffic-split",
    title="Argo CD leaves traffic to the rollout controller",
    severity="error",
    rationale="A sync in mid-canary puts the route back to 100/0: the gate then measures nothing.",
    references=[_DIFFING, "https://argoproj.github.io/argo-rollouts/features/traffic-management/"],
    kinds=[APPLICATION],
    known_as=["argocd-source-lint:missing-ignore-diff"],
)
def application_ignores_traffic_split(application: Resource, world: World) -> Iterator[Problem]:
    """ignoreDifferences has the hash of both Services and the weights of the route."""
    for _, index in synced(application, world):
        for resource, pointer in _split(index):
            if pointer not in ignored(application, resource):
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
    kinds=[APPLICATION],
)
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
    kinds=[APPLICATION],
)
def application_ignores_scalars(application: Resource, world: World) -> Iterator[Problem]:
    """No ignored JSON pointer leads to a list or mapping of the render."""
    for _, index in synced(application, world):
        for resource in index.resources:
            for pointer in sorted(ignored(application, resource)):
                if isinstance(field(resource.content, *_steps(pointer)), (dict, list)):
                    yield application.problem(
                        ("spec", "ignoreDifferences"),
                        f"{pointer} of {resource.id} is not a single value",
                        "ignore the one value that a controller writes",
                    )


def _steps(pointer: str) -> Path:
    """Read a JSON pointer (RFC 6901); steps made of digits become list positions."""
    parts = pointer.split("/")[1:]
    return tuple(
        int(part) if part.isdigit() else part.replace("~1", "/").replace("~0", "~")
        for part in parts
    )
