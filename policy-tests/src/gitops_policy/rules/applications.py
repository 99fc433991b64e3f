"""Argo CD Applications: paths that render, one owner each, production by hand."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from gitops_policy.applications import (
    APPLICATION,
    local_paths,
    production,
    sources,
)
from gitops_policy.build import build_kustomization, is_kustomization
from gitops_policy.fields import field, text
from gitops_policy.kustomization import RenderError
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_APPS = "https://argo-cd.readthedocs.io/en/stable/user-guide/application-specification/"


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
    # The render of the root holds no other Application: it owns no overlay at all.
    delivering = any(folder.startswith("overlays/") for folder in owners)
    for overlay in sorted(world.workspace.root.glob("overlays/*/*")):
        name = overlay.relative_to(world.workspace.root).as_posix()
        if delivering and is_kustomization(overlay) and name not in owners:
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
