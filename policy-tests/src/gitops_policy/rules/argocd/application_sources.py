"""Where Applications read: revisions and values files that exist, manifests that are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gitops_policy.argo.applications import (
    APPLICATION,
    all_applications,
    local_paths,
    own_repositories,
    rendered,
    sources,
    synced_files,
)
from gitops_policy.argo.generated_applications import APPLICATIONS, also_of_sets
from gitops_policy.argo.revisions import commit_of, has_path, knows_branches
from gitops_policy.fields import mapping, sequence, text
from gitops_policy.findings import Origin
from gitops_policy.model import Index, Problem, Resource
from gitops_policy.reading.build import is_kustomization
from gitops_policy.reading.kustomization import shown
from gitops_policy.reading.manifests import ManifestError, read_file
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World, once

_TRACKING = "https://argo-cd.readthedocs.io/en/stable/user-guide/tracking_strategies/"
_HELM = "https://argo-cd.readthedocs.io/en/stable/user-guide/helm/"
_KUSTOMIZE = "https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/resource/"
_RANGE = re.compile(r"[*^~<>=|x\s]|^v?\d+(\.\d+)?$")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://")


@rule(
    id="application-revision-exists",
    title="An Application's revision exists in the repository",
    severity="error",
    rationale="A misspelled branch or tag stops every sync, after the merge.",
    references=[_TRACKING],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:phantom-target"],
)
@also_of_sets
def application_revision_exists(application: Resource, world: World) -> Iterator[Problem]:
    """targetRevision of this repository is a branch, a tag or a commit, and holds the path.

    Unless the settings list them, they are asked of a clone that knows a remote's branches.
    """
    root = world.workspace.root if world.workspace else None
    listed = world.config.revisions
    if root is None or not (listed or (root / ".git").exists()):
        return
    certain = bool(listed) or knows_branches(root)
    for path, folder in local_paths(application, world):
        revision = text(mapping(application.content, *path), "targetRevision")
        plain = revision not in ("", "HEAD") and not _RANGE.search(revision)
        commit = _commit(revision, root, world) if plain and not listed else None
        if commit and not has_path(root, commit, folder):
            yield application.problem(
                (*path, "path"), f"{revision} has no {folder}", "correct the path or the revision"
            )
        known = revision in listed or commit is not None
        if plain and certain and not known:
            yield application.problem(
                (*path, "targetRevision"),
                f"the repository has no branch, tag or commit {revision!r}",
                "correct it, or fetch the branch",
            )


def _commit(revision: str, root: Path, world: World) -> str | None:
    known = _commits(world)
    if revision not in known:
        known[revision] = commit_of(root, revision)
    return known[revision]


@once
def _commits(_world: World) -> dict[str, str | None]:
    """Return the commits that were asked for in this run."""
    return {}


@rule(
    id="application-revision-checked-out",
    title="What is checked is what an Application delivers",
    severity="info",
    rationale="A pinned Application delivers another revision than the one that was checked.",
    references=[_TRACKING],
    kinds=[APPLICATION],
    known_as=["argocd-source-lint:revision-mismatch"],
    default=False,
)
def application_revision_checked_out(application: Resource, world: World) -> Iterator[Problem]:
    """targetRevision of this repository is the commit that is checked out."""
    root = world.workspace.root if world.workspace else None
    if root is None:
        return
    for path, _ in local_paths(application, world):
        revision = text(mapping(application.content, *path), "targetRevision") or "HEAD"
        if revision != "HEAD" and not _is_checked_out(revision, root, world):
            yield application.problem(
                (*path, "targetRevision"),
                f"{revision} is another revision than the one that is checked",
                "check that revision as well",
            )


def _is_checked_out(revision: str, root: Path, world: World) -> bool:
    if world.config.checked_out:
        return revision in world.config.checked_out
    head = _commit("HEAD", root, world) if (root / ".git").exists() else None
    return head is None or _commit(revision, root, world) in (None, head)


@rule(
    id="application-values-exist",
    title="The values files of an Application exist",
    severity="error",
    rationale="A missing values file fails the rendering: the last good state stays, and no more.",
    references=[_HELM + "#values-files"],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:broken-values-ref"],
)
@also_of_sets
def application_values_exist(application: Resource, world: World) -> Iterator[Problem]:
    """`$name/file` names a source with that ref; files of this repository are there."""
    references = {text(source, "ref"): source for _, source in sources(application)}
    own = own_repositories(world) | _repositories_of_values(application, world)
    for path, source in sources(application):
        for i, entry in enumerate(sequence(source, "helm", "valueFiles")):
            place = (*path, "helm", "valueFiles", i)
            name, _, file = str(entry).partition("/")
            if name.startswith("$") and name[1:] not in references:
                yield application.problem(
                    place, f"no source has ref: {name[1:]}", "add the ref, or correct the name"
                )
                continue
            read = references[name[1:]] if name.startswith("$") else source
            inside = file if name.startswith("$") else f"{text(source, 'path')}/{entry}"
            ignored = mapping(source, "helm").get("ignoreMissingValueFiles") is True
            remote = _URL.match(str(entry)) or text(read, "chart")
            if text(read, "repoURL") not in own or remote or ignored:
                continue
            if not _has_file(world, inside, text(read, "targetRevision")):
                yield application.problem(place, f"there is no file {inside}", "correct the path")


def _has_file(world: World, path: str, revision: str) -> bool:
    """Say whether a file is there, at its revision in a clone; an unknown revision may have it."""
    root = world.workspace.root if world.workspace else None
    if root is None or revision in ("", "HEAD") or not (root / ".git").exists():
        return _is_file(world, path)
    commit = _commit(revision, root, world)
    return commit is None or has_path(root, commit, path.lstrip("/"))


def _repositories_of_values(application: Resource, world: World) -> set[str]:
    """Return the repositories of refs of which at least one file is here."""
    found = set()
    references = {text(source, "ref"): source for _, source in sources(application)}
    for _, source in sources(application):
        for entry in sequence(source, "helm", "valueFiles"):
            name, _, file = str(entry).partition("/")
            if name.startswith("$") and _is_file(world, file):
                found.add(text(mapping(references, name[1:]), "repoURL"))
    return found - {""}


def _is_file(world: World, path: str) -> bool:
    if world.workspace is None:
        return False
    root = world.workspace.root.resolve()
    file = root / path.lstrip("/")
    return file.is_file() and file.resolve().is_relative_to(root)


@rule(
    id="manifest-is-rendered",
    title="Every manifest beside a kustomization is part of it",
    severity="warning",
    rationale="A manifest that no kustomization names looks delivered and never is.",
    references=[_KUSTOMIZE],
    kinds=BUILD,
    known_as=["argocd-source-lint:orphan-source"],
)
def manifest_is_rendered(world: World) -> Iterator[Problem]:
    """Each Kubernetes object in a folder of the render stands in its kustomization.

    Folders below with a kustomization of their own are left to it.
    """
    for kustomization in world.build.tree.kustomizations:
        named = kustomization.source.text
        for path in _manifests(kustomization.folder):
            if path.resolve() in world.build.tree.seen or path.name in named:
                continue
            if _holds_object(path):
                yield Problem(
                    None,
                    (),
                    f"no kustomization refers to {path.name}",
                    "add it to resources or patches, or delete it",
                    origin=Origin(world.build.name, shown(path), 1),
                )


def _manifests(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir() and not is_kustomization(path):
            yield from _manifests(path)
        elif path.suffix in (".yaml", ".yml") and not is_own(path):
            yield path


def is_own(path: Path) -> bool:
    """Say whether a file is a kustomization itself."""
    return path.stem.lower() == "kustomization"


def _holds_object(path: Path) -> bool:
    """Say whether a file is meant as a manifest: one of its documents says what kind it is."""
    try:
        contents = [source.content for source in read_file(path)]
    except ManifestError:
        return False
    return any(
        text(content, "kind") not in ("", "Kustomization", "Component")
        and "kustomize.config.k8s.io" not in text(content, "apiVersion")
        for content in contents
    )


@rule(
    id="manifest-is-delivered",
    title="Every manifest beside those that are delivered is delivered",
    severity="warning",
    rationale="A manifest that no Application syncs looks delivered, and never is.",
    references=[_TRACKING],
    kinds=BUILD,
    known_as=["argocd-source-lint:orphan-source"],
)
def manifest_is_delivered(world: World) -> Iterator[Problem]:
    """Objects in the top folders that Applications sync are part of some Application.

    Charts are left to Helm, and kustomizations that a build reads are delivered as a whole.
    """
    if world.workspace is None:
        return
    root = world.workspace.root.resolve()
    delivered, tops = _delivered(root, world)
    for top in sorted(tops):
        for path in _files_below(root / top):
            if path not in delivered and _holds_object(path):
                yield Problem(
                    None,
                    (),
                    f"no Application syncs {path.relative_to(root).as_posix()}",
                    "add it to a kustomization or an Application's folder, or delete it",
                    origin=Origin(world.build.name, shown(path), 1),
                )


def _delivered(root: Path, world: World) -> tuple[set[Path], set[str]]:
    """Return the files that Applications sync, and the top folders that hold them."""
    files = [d.origin.file for d in world.build.documents if d.origin and d.origin.file]
    delivered = set(world.build.tree.seen) | {Path(file).resolve() for file in files}
    tops: set[str] = set()
    waiting, seen = all_applications(world), set()
    while waiting:
        application = waiting.pop()
        for path, folder in local_paths(application, world):
            if folder in seen:
                continue
            seen.add(folder)
            directory = mapping(application.content, *path, "directory")
            delivered |= synced_files(root / folder, directory)
            top = folder.strip("/").partition("/")[0]
            tops |= {top} if top not in ("", ".") and (root / top).is_dir() else set()
            build = rendered(world, folder, directory)
            waiting += Index(build.documents).of_kind(APPLICATION) if build else []
    return delivered, tops


def _files_below(folder: Path) -> Iterator[Path]:
    if (folder / "Chart.yaml").is_file():
        return
    for path in sorted(folder.iterdir()):
        if path.name.startswith(".") or path.is_symlink():
            continue
        if path.is_dir():
            yield from _files_below(path)
        elif path.suffix in (".yaml", ".yml") and not is_own(path):
            yield path
