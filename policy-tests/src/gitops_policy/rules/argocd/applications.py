"""Argo CD Applications: paths that render, one owner each, production by hand."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator

from gitops_policy.argo.applications import (
    all_applications,
    local_paths,
    production,
    rendered,
    sources,
)
from gitops_policy.argo.generated_applications import APPLICATIONS, also_of_sets
from gitops_policy.fields import field, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.reading.build import build_kustomization, is_kustomization
from gitops_policy.reading.kustomization import RenderError
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_APPS = "https://argo-cd.readthedocs.io/en/stable/user-guide/application-specification/"
_RANGE = re.compile(r"[*^~<>=|\s]")


@rule(
    id="application-path-renders",
    title="What an Application points at renders",
    severity="error",
    rationale=(
        "A missing path fails the sync; an empty one is Synced, Healthy, and deletes everything."
    ),
    references=[_APPS],
    kinds=BUILD,
    known_as=["argocd-source-lint:phantom-target"],
)
def application_path_renders(world: World) -> Iterator[Problem]:
    """Each path in this repository exists, renders, and renders something."""
    for application in all_applications(world):
        for path, folder in local_paths(application, world):
            directory = mapping(application.content, *path, "directory")
            reason = _render_failure(folder, directory, world)
            if reason:
                yield application.problem(
                    (*path, "path"), f"{folder}: {reason}", "correct the path"
                )


def _render_failure(folder: str, directory: dict[str, object], world: World) -> str:
    place = world.workspace.root / folder if world.workspace else None
    if place is None or not place.is_dir():
        return "there is no such folder"
    if (place / "Chart.yaml").is_file():
        return ""
    build = rendered(world, folder, directory)
    if build is not None:
        return "" if build.documents else "renders nothing"
    if not is_kustomization(place):
        return ""
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
    """No file is synced by two Applications, and every overlays/<env>/<component> by one."""
    applications = all_applications(world)
    if not applications or world.workspace is None:
        return
    folders: dict[str, str] = {}
    for application in applications:
        for path, folder in local_paths(application, world):
            first = folders.setdefault(folder.strip("/"), application.name)
            if first != application.name:
                yield application.problem(
                    (*path, "path"), f"Application {first!r} syncs {folder} too", "keep one"
                )
    # The render of the root holds no other Application: it owns no overlay at all.
    delivering = any(folder.startswith("overlays/") for folder in folders)
    for overlay in sorted(world.workspace.root.glob("overlays/*/*")):
        name = overlay.relative_to(world.workspace.root).as_posix()
        if delivering and is_kustomization(overlay) and name not in folders:
            yield Problem(None, (), f"no Application syncs {name}", "add one under apps/")


@rule(
    id="object-synced-once",
    title="No object belongs to two Applications",
    severity="error",
    rationale="Each Application puts its own version back: the object flaps between them.",
    references=["https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/"],
    kinds=BUILD,
    known_as=["argocd-source-lint:double-coverage"],
)
def object_synced_once(world: World) -> Iterator[Problem]:
    """What two Applications render for one cluster has no object in common."""
    owners: dict[tuple[str, ...], set[str]] = defaultdict(set)
    for application in all_applications(world):
        destination = mapping(application.spec, "destination")
        cluster = text(destination, "server") or text(destination, "name")
        namespace = text(destination, "namespace") or "default"
        seen: set[str] = set()
        for path, folder in local_paths(application, world):
            build = rendered(world, folder, mapping(application.content, *path, "directory"))
            for document in build.documents if build else ():
                resource = Resource(mapping(document.content), namespace)
                key = (cluster, resource.group_kind, resource.namespace, resource.name)
                others = owners[key] - {application.name}
                owners[key].add(application.name)
                if others and len(seen) < len(seen | others):
                    seen |= others
                    yield application.problem(
                        (*path, "path"),
                        f"{resource.id} is also synced by {', '.join(sorted(others))}",
                        "leave it to one of them",
                    )


@rule(
    id="production-revision",
    title="Production follows a named revision",
    severity="error",
    rationale="HEAD is whatever branch the host calls default today.",
    references=["https://argo-cd.readthedocs.io/en/stable/user-guide/tracking_strategies/"],
    kinds=APPLICATIONS,
)
@also_of_sets
def production_revision(application: Resource) -> Iterator[Problem]:
    """An Application that delivers to production names its targetRevision: no HEAD, no range."""
    for path, source in sources(application) if production(application) else ():
        revision = text(source, "targetRevision")
        if revision in ("", "HEAD") or _RANGE.search(revision):
            yield application.problem(
                (*path, "targetRevision"),
                f"it follows {revision or 'HEAD'}",
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
    kinds=APPLICATIONS,
)
@also_of_sets
def production_synced_by_hand(application: Resource) -> Iterator[Problem]:
    """An Application whose overlay is production's has no automated sync."""
    path = ("spec", "syncPolicy", "automated")
    automated = field(application.content, *path)
    on = automated is not None and field(automated, "enabled") is not False
    if on and production(application):
        yield application.problem(path, "production syncs by itself", "remove automated")
