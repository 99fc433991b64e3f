"""The two sides of a comparison: folders, or commits written out beside the user's checkout."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from gitops_policy.reading.build import upward
from gitops_policy.reading.manifests import ManifestError

GIT_SECONDS = 120
_FILE, _LINK = b"100", b"120000"


class SideError(ManifestError):
    """A side of a comparison that does not exist, with the reason."""


@dataclass(frozen=True, slots=True)
class Side:
    """One state of a repository on disk.

    `root` is where paths count from, `repository` what may be read; `commit` is None for a folder.
    """

    name: str
    root: Path
    repository: Path
    commit: str | None = None

    def shown(self, text: str) -> str:
        """Return a message without the place where this side happens to lie."""
        if self.commit is None:
            return text
        return text.replace(f"{self.repository}/", "").replace(str(self.repository), ".")


def merge_base(base: str, head: str) -> str:
    """Return the commit from which both refs started; raises SideError where there is none."""
    done = _git("merge-base", "--end-of-options", base, head)
    if done.returncode:
        raise SideError(f"{base!r} and {head!r} have no common commit: {_reason(done)}")
    return done.stdout.decode().strip()


@contextmanager
def side(name: str, label: str = "") -> Iterator[Side]:
    """Give a folder as it is, or a Git ref written into a temporary folder that is removed again.

    Raises SideError for what is neither, or both.
    """
    folder = Path(name)
    commit = "" if name in (".", "..") else _commit(name)
    if folder.is_dir():
        if commit:
            raise SideError(
                f"{name!r} is a folder and a Git ref: write ./{name} or refs/heads/{name}"
            )
        root = folder.resolve()
        yield Side(label or name, root, root)
        return
    if not commit:
        raise SideError(f"{name!r} is neither a folder nor a commit here: {_why_no_commit(name)}")
    with tempfile.TemporaryDirectory(prefix="gitops-policy-") as temporary:
        repository = Path(temporary).resolve()
        _write_out(commit, repository)
        _share_tools(repository)
        yield Side(label or name, repository / _prefix(), repository, commit)


def _commit(name: str) -> str:
    done = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}")
    return "" if done.returncode else done.stdout.decode().strip()


def _why_no_commit(name: str) -> str:
    outside = _git("rev-parse", "--git-dir")
    if outside.returncode:
        return _reason(outside)
    if _git("rev-parse", "--is-shallow-repository").stdout.strip() == b"true":
        return f"the clone is shallow; `git fetch origin {name}` may bring it"
    return "see `git branch --all` and `git tag`"


def _prefix() -> str:
    """Return the current folder inside its repository; a ref stands for it at that commit."""
    return _checked("rev-parse", "--show-prefix").decode().strip()


def _write_out(commit: str, folder: Path) -> None:
    """Write a commit's files; unlike `git archive`, no attribute leaves out or rewrites one."""
    listed = _checked("ls-tree", "-r", "-z", "--full-tree", commit)
    files = []
    for entry in filter(None, listed.split(b"\0")):
        about, _, path = entry.partition(b"\t")
        mode, _, blob = about.split()
        if mode == _LINK or mode.startswith(_FILE):
            files.append((mode, blob, path))
    wanted = b"".join(blob + b"\n" for _, blob, _ in files)
    with tempfile.TemporaryFile() as contents:
        _checked("cat-file", "--batch", stdin=wanted, stdout=contents)
        contents.seek(0)
        for mode, _, path in files:
            _write(folder / path.decode("utf-8", "surrogateescape"), mode, _next(contents), folder)


def _next(contents: IO[bytes]) -> bytes:
    header = contents.readline().split()
    if len(header) != 3:
        raise SideError(f"git lacks an object: {b' '.join(header).decode(errors='replace')}")
    content = contents.read(int(header[2]))
    contents.read(1)
    return content


def _write(path: Path, mode: bytes, content: bytes, folder: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if mode != _LINK:
        path.write_bytes(content)
        return
    target = content.decode("utf-8", "surrogateescape")
    # A link out of the repository would show files that belong to no commit.
    if (path.parent / target).resolve().is_relative_to(folder):
        path.symlink_to(target)


def _share_tools(repository: Path) -> None:
    """Let kustomize and the CRD schemas be found from the copy as from the checkout."""
    tools = upward(Path.cwd(), ".tools")
    if tools and not (repository / ".tools").exists():
        (repository / ".tools").symlink_to(tools.resolve())


def _checked(*arguments: str, stdin: bytes = b"", stdout: IO[bytes] | None = None) -> bytes:
    done = _git(*arguments, stdin=stdin, stdout=stdout)
    if done.returncode:
        raise SideError(_reason(done))
    return done.stdout or b""


def _git(
    *arguments: str, stdin: bytes = b"", stdout: IO[bytes] | None = None
) -> subprocess.CompletedProcess[bytes]:
    try:
        return subprocess.run(  # noqa: S603
            ["git", *arguments],  # noqa: S607
            input=stdin,
            stdout=stdout or subprocess.PIPE,
            stderr=subprocess.PIPE,
            timeout=GIT_SECONDS,
            check=False,
        )
    except FileNotFoundError:
        raise SideError("git is not installed: compare two folders instead") from None
    except subprocess.TimeoutExpired:
        raise SideError(f"git {arguments[0]} did not finish in {GIT_SECONDS} s") from None


def _reason(done: subprocess.CompletedProcess[bytes]) -> str:
    return done.stderr.decode(errors="replace").strip() or f"git exited {done.returncode}"
