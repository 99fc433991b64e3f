"""The files behind a kustomization: read strictly, remote bases refused."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from gitops_policy.fields import Path as FieldPath
from gitops_policy.fields import sequence, text
from gitops_policy.reading.manifests import ManifestError, Source, read_file

NAMES = ("kustomization.yaml", "kustomization.yml", "Kustomization")
_PLAIN = (
    "resources",
    "components",
    "bases",
    "configurations",
    "crds",
    "generators",
    "transformers",
    "validators",
    "patchesStrategicMerge",
)
_WITH_PATH = ("patches", "patchesJson6902", "replacements")
_REMOTE = ("://", "git@", "github.com/", "?ref=", "gitlab.com/", "bitbucket.org/")


class RenderError(ManifestError):
    """A kustomization that cannot be rendered: file, line and reason.

    `folder` is the kustomization where that is known.
    """

    folder: Path | None = None


@dataclass(frozen=True, slots=True)
class Kustomization:
    """One kustomization file: its folder, and its content with positions."""

    folder: Path
    source: Source


@dataclass(slots=True)
class Tree:
    """Every kustomization and every other YAML document that a render reads, nearest first."""

    kustomizations: list[Kustomization] = field(default_factory=list)
    sources: list[Source] = field(default_factory=list)
    by_path: dict[Path, list[Source]] = field(default_factory=dict)
    seen: set[Path] = field(default_factory=set)


def shown(path: Path) -> str:
    """Return the path as a person in the current folder would type it."""
    relative = os.path.relpath(path)
    return str(path) if relative.startswith("..") else relative


def kustomization_file(folder: Path) -> Path | None:
    """Return the kustomization file of a folder, None where there is none."""
    return next((folder / name for name in NAMES if (folder / name).is_file()), None)


def read_tree(folder: Path) -> Tree:
    """Read a kustomization with everything it refers to.

    Raises RenderError where a file is missing, remote, or no strict YAML.
    """
    tree = Tree()
    _read_folder(folder.resolve(), tree)
    return tree


def _read_folder(folder: Path, tree: Tree) -> None:
    if folder in tree.seen:
        return
    tree.seen.add(folder)
    path = kustomization_file(folder)
    if path is None:
        raise RenderError("no kustomization.yaml in this folder", shown(folder))
    sources = _read(path)
    if len(sources) > 1:
        reason = "a second document: kustomize reads the first one only, without a word"
        raise RenderError(reason, shown(path), sources[1].line())
    for source in sources:
        tree.kustomizations.append(Kustomization(folder, source))
        for entry, where in _references(source):
            _follow(folder, entry, source, where, tree)


def _read(path: Path) -> list[Source]:
    try:
        return read_file(path, shown(path))
    except ManifestError as error:
        raise RenderError(error.reason, error.file, error.line) from None


def _references(source: Source) -> Iterator[tuple[str, FieldPath]]:
    for key in _PLAIN:
        for i, entry in enumerate(sequence(source.content, key)):
            if isinstance(entry, str) and "\n" not in entry:
                yield entry, (key, i)
    for key in _WITH_PATH:
        for i, item in enumerate(sequence(source.content, key)):
            if path := text(item, "path"):
                yield path, (key, i, "path")


def _follow(folder: Path, entry: str, source: Source, where: FieldPath, tree: Tree) -> None:
    line = source.line(where)
    if any(mark in entry for mark in _REMOTE):
        reason = f"remote base {entry!r} is refused: a render must not need the network"
        raise RenderError(reason, source.file, line)
    target = (folder / entry).resolve()
    if target.is_dir():
        if kustomization_file(target) is None:
            raise RenderError(f"{entry!r} holds no kustomization.yaml", source.file, line)
        _read_folder(target, tree)
    elif not target.is_file():
        raise RenderError(f"{entry!r} does not exist", source.file, line)
    elif target not in tree.seen:
        tree.seen.add(target)
        found = _read(target)
        tree.sources += found
        tree.by_path[target] = found
