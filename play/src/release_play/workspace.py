"""A copy of the manifests, in a Git repository of its own, that releases are committed to."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

POLICIES = ".gitops-policy.yaml"
# The manifests, and what the policies hold them to: runbooks and the metrics of the server.
COPIED = ("apps", "argocd", "base", "docs", "overlays", "policy-tests/metrics", "rollouts")


class WorkspaceError(Exception):
    """The copy could not be made or a Git command failed; the message says which and why."""


class Workspace:
    """The copied repository in `<folder>/repository`."""

    def __init__(self, folder: Path):
        self.folder, self.repository = folder, folder / "repository"

    def overlay(self, name: str) -> Path:
        """The folder of the overlay `<env>/<component>`."""
        return self.repository / "overlays" / name

    def overlays(self) -> list[str]:
        """The names of all overlays, sorted."""
        found = (self.repository / "overlays").glob("*/*/kustomization.yaml")
        return sorted(str(path.parent.relative_to(self.repository / "overlays")) for path in found)

    def commit(self, message: str) -> str:
        """Commit everything that changed; the short commit id."""
        self._git("add", "--all")
        self._git("commit", "--quiet", "--message", message)
        return self._git("rev-parse", "--short", "HEAD").strip()

    def revert(self) -> str:
        """Revert the newest commit, as the way back after an abort; the short commit id."""
        self._git("revert", "--no-edit", "HEAD")
        return self._git("rev-parse", "--short", "HEAD").strip()

    def begin_history(self) -> None:
        """Make the copy a Git repository with one commit."""
        self._git("init", "--quiet", "--initial-branch", "main")
        self.commit("Start from the overlays as they are")

    def _git(self, *arguments: str) -> str:
        settings = {
            "user.name": "release-play",
            "user.email": "release-play@localhost",
            "commit.gpgsign": "false",
            "core.hooksPath": "/dev/null",
        }
        options = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
        result = subprocess.run(  # noqa: S603
            ["git", *options, *arguments],  # noqa: S607
            cwd=self.repository,
            capture_output=True,
            text=True,
            check=False,
        )
        if result.returncode != 0:
            raise WorkspaceError(f"git {arguments[0]} failed: {result.stderr.strip()}")
        return result.stdout


@contextmanager
def open_workspace(root: Path, output: Path) -> Iterator[Workspace]:
    """Copy the manifests of `root` below `output` for one run.

    A lock file marks the folder as in use; folders of runs that have ended are removed first.
    """
    runs = output / "runs"
    runs.mkdir(parents=True, exist_ok=True)
    _remove_ended(runs)
    folder = runs / f"{time.strftime('%Y%m%dT%H%M%S')}-{time.monotonic_ns() % 10**6:06d}"
    folder.mkdir()
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        workspace = Workspace(folder)
        workspace.repository.mkdir()
        for name in COPIED:
            if not (root / name).is_dir():
                raise WorkspaceError(f"{root / name} is missing: run from the repository's root")
            shutil.copytree(root / name, workspace.repository / name)
        if (root / POLICIES).is_file():
            shutil.copy(root / POLICIES, workspace.repository)
        workspace.begin_history()
        yield workspace


def _remove_ended(runs: Path) -> None:
    for folder in runs.iterdir():
        lock = folder / "lock"
        if not lock.exists():
            continue
        with lock.open() as handle:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            shutil.rmtree(folder, ignore_errors=True)
