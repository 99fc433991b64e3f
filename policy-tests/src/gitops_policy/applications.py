"""Argo CD Applications: what each of them syncs, and under which project."""

from __future__ import annotations

from collections.abc import Iterator
from fnmatch import fnmatchcase
from typing import Any

from gitops_policy.build import Build, is_kustomization
from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.model import Index, Resource
from gitops_policy.world import World

APPLICATION = "argoproj.io/Application"
PROJECT = "argoproj.io/AppProject"


def sources(application: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the source or sources of an Application with their paths."""
    if single := mapping(application.spec, "source"):
        yield ("spec", "source"), single
    for i, source in entries(application.spec, "sources"):
        yield ("spec", "sources", i), source


def own_repositories(world: World) -> set[str]:
    """Return the URLs that mean this repository.

    It is the one of the Application `root`; without it, each whose path is a kustomization here.
    """
    applications = world.index.of_kind(APPLICATION)
    roots = [a for a in applications if a.name == "root"]
    return {
        text(source, "repoURL")
        for application in roots or applications
        for _, source in sources(application)
        if roots or _exists(world, text(source, "path"))
    }


def _exists(world: World, path: str) -> bool:
    return (
        bool(path) and world.workspace is not None and is_kustomization(world.workspace.root / path)
    )


def local_paths(application: Resource, world: World) -> list[tuple[Path, str]]:
    """Return the folders of this repository that an Application syncs."""
    own = own_repositories(world) if world.workspace else set()
    return [
        (path, text(source, "path"))
        for path, source in sources(application)
        if text(source, "repoURL") in own and text(source, "path")
    ]


def synced(application: Resource, world: World) -> list[tuple[Build, Index]]:
    """Return what an Application syncs from this repository, rendered and indexed.

    A missing namespace is the Application's destination namespace.
    """
    namespace = text(application.spec, "destination", "namespace")
    builds = []
    for _, path in local_paths(application, world):
        build = world.workspace.build(path) if world.workspace else None
        if build is not None:
            builds.append((build, Index(build.documents, namespace or "default")))
    return builds


def foreign_namespaces(world: World) -> set[str]:
    """Return the namespaces that some Application fills from a chart or another repository.

    What stands in them is only known at the sync.
    """
    build = world.workspace.build("apps") if world.workspace else None
    known = World(build, world.config, world.workspace) if build is not None else world
    own = own_repositories(known)
    return {
        text(application.spec, "destination", "namespace")
        for application in known.index.of_kind(APPLICATION)
        for _, source in sources(application)
        if text(source, "repoURL") not in own
    }


def project_of(application: Resource, world: World) -> Resource | None:
    """Return the AppProject of an Application, None where the build has none of that name."""
    name = text(application.spec, "project")
    return next((p for p in world.index.of_kind(PROJECT) if p.name == name), None)


def production(application: Resource) -> bool:
    """Say whether an Application delivers to production, by its path or namespace."""
    paths = [text(source, "path") for _, source in sources(application)]
    return text(application.spec, "destination", "namespace").endswith("production") or any(
        path.startswith("overlays/production/") for path in paths
    )


def options(application: Resource) -> set[str]:
    """Return the sync options of an Application."""
    return set(map(str, sequence(application.spec, "syncPolicy", "syncOptions")))


def ignored(application: Resource, resource: Resource) -> set[str]:
    """Return the JSON pointers that an Application ignores on an object."""
    pointers: set[str] = set()
    for _, item in entries(application.spec, "ignoreDifferences"):
        same = text(item, "group") == resource.group and text(item, "kind") == resource.kind
        named = text(item, "name") in ("", resource.name)
        if same and named and text(item, "namespace") in ("", resource.namespace):
            pointers |= set(map(str, sequence(item, "jsonPointers")))
    return pointers


def allowed(patterns: object, value: str) -> bool:
    """Say whether a list of Argo CD globs accepts a value; `!` refuses."""
    listed = [str(p) for p in patterns] if isinstance(patterns, list) else []
    if any(p.startswith("!") and fnmatchcase(value, p[1:]) for p in listed):
        return False
    return any(fnmatchcase(value, p) for p in listed if not p.startswith("!"))
