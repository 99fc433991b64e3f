"""Where Applications read: revisions and values files that exist, manifests that are read."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gitops_policy.applications import APPLICATION, local_paths, own_repositories, sources
from gitops_policy.build import is_kustomization
from gitops_policy.fields import mapping, sequence, text
from gitops_policy.findings import Origin
from gitops_policy.kustomization import shown
from gitops_policy.manifests import ManifestError, read_file
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import BUILD, rule
from gitops_policy.revisions import commit_of, knows_branches
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
    kinds=[APPLICATION],
    known_as=["argocd-source-lint:phantom-target"],
)
def application_revision_exists(application: Resource, world: World) -> Iterator[Problem]:
    """targetRevision of this repository is a branch, a tag or a commit.

    Unless the settings list them, they are asked of a clone that knows a remote's branches.
    """
    root = world.workspace.root if world.workspace else None
    listed = world.config.revisions
    if root is None or not (listed or knows_branches(root)):
        return
    for path, _ in local_paths(application, world):
        revision = text(mapping(application.content, *path), "targetRevision")
        plain = revision not in ("", "HEAD") and not _RANGE.search(revision)
        if plain and not (revision in listed if listed else _commit(revision, root, world)):
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
    kinds=[APPLICATION],
    known_as=["argocd-source-lint:broken-values-ref"],
)
def application_values_exist(application: Resource, world: World) -> Iterator[Problem]:
    """`$name/file` names a source with that ref; files of this repository are there."""
    references = {
        text(source, "ref"): text(source, "repoURL") for _, source in sources(application)
    }
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
            url = references[name[1:]] if name.startswith("$") else text(source, "repoURL")
            inside = file if name.startswith("$") else f"{text(source, 'path')}/{entry}"
            known = url in own and not _URL.match(str(entry)) and not text(source, "chart")
            known = known or (name.startswith("$") and url in own)
            ignored = mapping(source, "helm").get("ignoreMissingValueFiles") is True
            if known and not ignored and not _is_file(world, inside):
                yield application.problem(place, f"there is no file {inside}", "correct the path")


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
    try:
        contents = [source.content for source in read_file(path)]
    except ManifestError:
        return False
    return any(
        text(content, "apiVersion")
        and text(content, "kind")
        and "kustomize.config.k8s.io" not in text(content, "apiVersion")
        and text(content, "metadata", "name")
        for content in contents
    )
