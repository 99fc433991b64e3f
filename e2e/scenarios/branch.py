"""A branch of the repository that Argo CD follows: what a team commits to."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

SETTINGS = {
    "user.name": "e2e",
    "user.email": "e2e@localhost",
    "commit.gpgsign": "false",
    "core.hooksPath": "/dev/null",
}
GIT_SECONDS = 60

Change = Callable[[Path], None]
"""Edits files of the clone at this path."""


class GitError(AssertionError):
    """A Git command failed; the message says which and why."""


@dataclass(frozen=True)
class Branch:
    """A clone in `folder` with `name` checked out, pushed after every commit."""

    url: str
    name: str
    folder: Path

    def commit(self, message: str, change: Change) -> str:
        """Change files, commit, push; the full commit id."""
        change(self.folder)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", message)
        return self._push()

    def revert(self, revision: str = "HEAD") -> str:
        """`git revert` of one commit, pushed; the full commit id of the new one."""
        self.git("revert", "--no-edit", revision)
        return self._push()

    def restore(self, revision: str) -> str:
        """Commit the files as they were at `revision`, where they differ; the full commit id."""
        self.git("read-tree", "--reset", "-u", revision)
        if self.git("diff", "--cached", "--name-only", "HEAD"):
            self.git("commit", "--quiet", "--message", f"Back to {revision[:7]}")
        return self._push()

    def head(self) -> str:
        """The full id of the newest commit."""
        return self.git("rev-parse", "HEAD").strip()

    def delete(self) -> None:
        """Remove the branch from the served repository."""
        self.git("push", "--quiet", "origin", "--delete", self.name)

    def git(self, *arguments: str) -> str:
        """Run git in the clone; its output."""
        return run_git(self.folder, *arguments)

    def _push(self) -> str:
        self.git("push", "--quiet", "origin", f"HEAD:refs/heads/{self.name}")
        return self.head()


def open_branch(url: str, name: str, folder: Path, start: str = "main") -> Branch:
    """Clone `start` of the repository and begin the branch there; nothing is pushed yet."""
    run_git(folder.parent, "clone", "--quiet", "--branch", start, url, str(folder))
    branch = Branch(url, name, folder)
    branch.git("switch", "--quiet", "--create", name)
    return branch


def run_git(folder: Path, *arguments: str) -> str:
    """Run git in a folder with a time limit; GitError where it fails."""
    options = [word for key, value in SETTINGS.items() for word in ("-c", f"{key}={value}")]
    try:
        done = subprocess.run(
            ["git", *options, *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=GIT_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise GitError(f"git {arguments[0]} took more than {GIT_SECONDS} s") from None
    if done.returncode != 0:
        raise GitError(f"git {arguments[0]}: {done.stderr.strip()}")
    return done.stdout
