"""Files as the services that show a report know them: from the root of the repository."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path
from urllib.parse import quote

from gitops_policy.findings import Origin


def repository_file(origin: Origin | None) -> str | None:
    """Return the origin's file counted from the repository's root; None if it has no file."""
    if origin is None or not origin.file or origin.file.startswith("("):
        return None
    return _from_root(origin.file, Path.cwd())


@cache
def _from_root(file: str, here: Path) -> str:
    path = (here / file).resolve()
    for folder in (_root(here), here):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.as_posix()


@cache
def _root(here: Path) -> Path:
    return next((f for f in (here, *here.parents) if (f / ".git").exists()), here)


def uri(file: str) -> str:
    """Write a file as a URI reference."""
    return Path(file).as_uri() if file.startswith("/") else quote(os.fsencode(file))
