"""What there is to lint under a folder: kustomizations, and manifests that belong to none."""

from __future__ import annotations

from dataclasses import dataclass, field
from os.path import realpath
from pathlib import Path

from gitops_policy.fields import sequence, text
from gitops_policy.reading.build import is_kustomization, manifest_files
from gitops_policy.reading.kustomization import kustomization_file
from gitops_policy.reading.manifests import ManifestError, read_file


@dataclass(frozen=True, slots=True)
class Contents:
    """Kustomizations that no other one found beside them includes, and plain manifest files."""

    kustomizations: list[Path] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)


def contents(folder: Path) -> Contents:
    """Find what can be linted in a folder that is no kustomization itself."""
    files = manifest_files(folder)
    folders = sorted({f.parent.resolve() for f in files if is_kustomization(f.parent)})
    parts = {path for found in folders for path in _included(found)}
    tops = [path for path in folders if path not in parts and not _is_component(path)]
    loose = [f for f in files if not any(path in Path(realpath(f)).parents for path in folders)]
    return Contents(tops, loose)


def _included(folder: Path) -> set[Path]:
    content = _content(folder)
    names = [*sequence(content, "resources"), *sequence(content, "components")]
    return {(folder / name).resolve() for name in names if isinstance(name, str)}


def _is_component(folder: Path) -> bool:
    return text(_content(folder), "kind") == "Component"


def _content(folder: Path) -> object:
    file = kustomization_file(folder)
    try:
        return read_file(file)[0].content if file else None
    except (ManifestError, IndexError):
        return None
