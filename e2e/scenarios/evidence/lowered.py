"""What the e2e component changes in each overlay, read from the rendered bytes."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from e2e.scenarios.branch import run_git
from e2e.scenarios.manifests import leaves
from e2e.scenarios.places import TOOLS

OVERLAYS = ("dev", "staging", "production")
KUSTOMIZE_SECONDS = 60


@dataclass(frozen=True)
class Lowered:
    """One value that is another than in the overlay as it is: where, old, new."""

    overlays: str
    path: str
    old: str
    new: str


def lowered(url: str) -> list[Lowered]:
    """Compare the overlays of the served repository with those before its last commit."""
    found: dict[tuple[str, str, str], list[str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        after, before = Path(folder, "after"), Path(folder, "before")
        run_git(Path(folder), "clone", "--quiet", "--branch", "main", url, str(after))
        run_git(after, "worktree", "add", "--quiet", str(before), "HEAD~1")
        for name in OVERLAYS:
            old, new = rendered(before, name), rendered(after, name)
            for path, values in different(old, new):
                found.setdefault((path, *values), []).append(name)
    return [Lowered(", ".join(names), *what) for what, names in sorted(found.items())]


def different(old: dict[str, str], new: dict[str, str]) -> Iterable[tuple[str, tuple[str, str]]]:
    """Paths whose values differ."""
    for path in sorted(old.keys() | new.keys()):
        pair = old.get(path, "not there"), new.get(path, "not there")
        if pair[0] != pair[1]:
            yield path, pair


def rendered(repository: Path, overlay: str) -> dict[str, str]:
    """Every scalar of the rendered overlay by kind, name and path."""
    done = subprocess.run(
        [
            str(TOOLS / "kustomize"),
            "build",
            str(repository / "overlays" / overlay / "inference"),
        ],
        check=True,
        capture_output=True,
        text=True,
        timeout=KUSTOMIZE_SECONDS,
    )
    documents: Iterable[dict[str, Any]] = yaml.load_all(
        done.stdout, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    )
    return {
        f"{document['kind']}/{document['metadata']['name']}{path}": str(value)
        for document in documents
        for path, value in leaves(document)
    }
