"""Revisions of the repository on disk: which exist, asked of Git."""

from __future__ import annotations

import re
from pathlib import Path

_SAFE = re.compile(r"[A-Za-z0-9][\w./+-]*")
_SECONDS = 10


def commit_of(root: Path, revision: str) -> str | None:
    """Return the commit of a branch, tag or hash in the clone at `root`, None if unknown there."""
    if not _SAFE.fullmatch(revision) or ".." in revision:
        return None
    for name in (revision, f"origin/{revision}"):
        if found := _git(root, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"):
            return found
    return None


def has_path(root: Path, commit: str, path: str) -> bool:
    """Say whether a commit holds a file or folder."""
    return bool(_git(root, "ls-tree", "--name-only", commit, "--", path.rstrip("/")))


def origin(root: Path) -> str:
    """Return the URL of the remote origin of the clone at `root`; empty where there is none."""
    return _git(root, "config", "--get", "remote.origin.url") if (root / ".git").exists() else ""


def knows_branches(root: Path) -> bool:
    """Say whether `root` is a clone with all its history and the branches of a remote."""
    if not (root / ".git").exists():
        return False
    complete = _git(root, "rev-parse", "--is-shallow-repository") == "false"
    return complete and bool(_git(root, "for-each-ref", "--count=1", "refs/remotes"))


def _git(root: Path, *arguments: str) -> str:
    import shutil
    import subprocess

    command = shutil.which("git")
    if command is None:
        return ""
    try:
        done = subprocess.run(  # noqa: S603
            [command, "-C", str(root), *arguments],
            capture_output=True,
            text=True,
            timeout=_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
