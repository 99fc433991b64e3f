"""Argo CD Applications: what each of them syncs, and under which project."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path as FilePath
from typing import Any

from gitops_policy.argo import application_sets
from gitops_policy.argo.project_scope import repository_key
from gitops_policy.argo.revisions import origin
from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Index, Resource
from gitops_policy.notations.globs import matches
from gitops_policy.reading.build import SUFFIXES, Build, build_files, is_kustomization
from gitops_policy.reading.kustomization import RenderError, read_tree
from gitops_policy.reading.manifests import ManifestError
from gitops_policy.world import World, once

APPLICATION = "argoproj.io/Application"
PROJECT = "argoproj.io/AppProject"


def sources(application: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the source or sources of an Application with their paths."""
    if single := mapping(application.spec, "source"):
        yield ("spec", "source"), single
    for i, source in entries(application.spec, "sources"):
        yield ("spec", "sources", i), source


@once
def own_repositories(world: World) -> set[str]:
    """Return the URLs that mean this repository.

    It is the one of the Application `root`; without it, each whose path is a folder here, or
    that is the origin of the clone.
    """
    applications = world.index.of_kind(APPLICATION)
    roots = [a for a in applications if a.name == "root"]
    found = {
        text(source, "repoURL")
        for application in roots or applications
        for _, source in sources(application)
        if roots or _exists(world, text(source, "path"))
    }
    return (
        found
        | _of_origin(world)
        | {
            text(git, "repoURL")
            for application_set in world.index.of_kind(application_sets.APPLICATION_SET)
            for git in _git_generators(application_set.spec)
            if not roots and _exists(world, _first_folder(git))
        }
    )


def _of_origin(world: World) -> set[str]:
    named = {
        text(source, "repoURL")
        for application in world.index.of_kind(APPLICATION)
        for _, source in sources(application)
    }
    url = origin(world.workspace.root) if world.workspace and named else ""
    return {name for name in named if url and repository_key(name) == repository_key(url)}


def _git_generators(spec: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for _, generator in entries(spec, "generators"):
        yield mapping(generator, "git")
        for name in ("matrix", "merge"):
            yield from _git_generators(mapping(generator, name))


def _first_folder(git: dict[str, Any]) -> str:
    """Return the part of a generator's first pattern that stands before any wildcard."""
    items = [item for key in ("directories", "files") for _, item in entries(git, key)]
    patterns = [text(item, "path") for item in items]
    return re.split(r"/?[^/]*[*?\[{]", patterns[0])[0] if patterns else ""


def _exists(world: World, path: str) -> bool:
    return bool(path) and _folder(world, path) is not None


def _folder(world: World, path: str) -> FilePath | None:
    """Return a folder of the repository, None for one that is missing or outside of it."""
    if world.workspace is None:
        return None
    root = world.workspace.root.resolve()
    folder = root / path
    inside = folder.is_dir() and folder.resolve().is_relative_to(root)
    return folder if inside else None


def all_applications(world: World) -> list[Resource]:
    """Return the Applications of the build, and those that its ApplicationSets make."""
    root = world.workspace.root if world.workspace else None
    made = application_sets.of_build(world.index, root, own_repositories(world))
    return [*world.index.of_kind(APPLICATION), *made]


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
    for path, folder in local_paths(application, world):
        build = rendered(world, folder, mapping(application.content, *path, "directory"))
        if build is not None:
            builds.append((build, Index(build.documents, namespace or "default")))
    return builds


def rendered(world: World, path: str, directory: dict[str, Any] | None = None) -> Build | None:
    """Return a kustomization's render, or the manifests of a plain folder; None if unreadable."""
    build = world.workspace.build(path) if world.workspace else None
    if build is not None or world.workspace is None:
        return build
    folder = _folder(world, path)
    if folder is None or is_kustomization(folder) or (folder / "Chart.yaml").is_file():
        return None
    try:
        return build_files(_plain_files(folder, directory or {}))
    except ManifestError:
        return None


def _plain_files(folder: FilePath, directory: dict[str, Any]) -> list[FilePath]:
    """Return what Argo CD reads of a folder without a kustomization or chart."""
    pattern = "**/*" if directory.get("recurse") is True else "*"
    include, exclude = text(directory, "include"), text(directory, "exclude")
    names = {
        path: path.relative_to(folder).as_posix()
        for path in sorted(folder.glob(pattern))
        if path.suffix in SUFFIXES and path.is_file()
    }
    return [
        path
        for path, name in names.items()
        if (not include or matches(include, name)) and not (exclude and matches(exclude, name))
    ]


def synced_files(folder: FilePath, directory: dict[str, Any]) -> set[FilePath]:
    """Return the files that a source reads of a folder: its kustomization's, or its own."""
    if not folder.is_dir():
        return set()
    if not is_kustomization(folder):
        return {path.resolve() for path in _plain_files(folder, directory)}
    try:
        return set(read_tree(folder).seen)
    except RenderError:
        return {path.resolve() for path in folder.rglob("*")}


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


def self_heals(application: Resource) -> bool:
    """Say whether Argo CD puts back by itself what differs from Git."""
    automated = field(application.spec, "syncPolicy", "automated")
    return field(automated, "selfHeal") is True and field(automated, "enabled") is not False


def ignored(application: Resource, resource: Resource) -> set[str]:
    """Return the JSON pointers that an Application ignores on an object.

    Plain jq paths count as pointers; `*` stands for what a field manager or other jq decides.
    """
    pointers: set[str] = set()
    for _, item in entries(application.spec, "ignoreDifferences"):
        same = matches(text(item, "group"), resource.group)
        same = same and matches(text(item, "kind"), resource.kind)
        named = text(item, "name") in ("", resource.name)
        if same and named and text(item, "namespace") in ("", resource.namespace):
            pointers |= set(map(str, sequence(item, "jsonPointers")))
            pointers |= {_as_pointer(str(e)) for e in sequence(item, "jqPathExpressions")}
            pointers |= {"*"} if item.get("managedFieldsManagers") else set()
    return pointers


def ignores(application: Resource, resource: Resource, pointer: str) -> bool:
    """Say whether an Application ignores a field of an object, or something around it."""
    found = ignored(application, resource)
    parts = pointer.split("/")
    around = {"/".join(parts[:end]) for end in range(2, len(parts) + 1)}
    return bool(found & (around | {"*"}))


def _as_pointer(expression: str) -> str:
    """Write `.spec.a["b"][0]` as a JSON pointer; `*` for any other jq."""
    parts = re.findall(r'\.([A-Za-z_][\w]*)|\.?\["([^"]+)"\]|\[(\d+)\]', expression)
    whole = re.fullmatch(r'(\.[A-Za-z_]\w*|\.?\["[^"]+"\]|\[\d+\])+', expression)
    names = ["".join(part).replace("~", "~0").replace("/", "~1") for part in parts]
    return "/" + "/".join(names) if whole else "*"
