"""Which commit a training came from."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from model_pipeline.errors import PipelineError

GIT_SHA = re.compile(r"[0-9a-f]{40}")


def training_git_sha(
    given: str | None, progress: Callable[[str], None], directory: Path | None = None
) -> str:
    """The commit a model is registered under: the one given, else HEAD of `directory`.

    Raises PipelineError where there is neither. Uncommitted changes under `pipeline/`
    are told through `progress`: the commit does not hold what was run.
    """
    if given is not None:
        if not GIT_SHA.fullmatch(given):
            raise PipelineError(f"--git-sha {given!r}: not a full commit id of 40 hex digits")
        return given
    where = directory or Path.cwd()
    root = _git(where, "rev-parse", "--show-toplevel")
    head = _git(where, "rev-parse", "--verify", "HEAD")
    if root is None or head is None:
        raise PipelineError(
            f"{where}: not in a Git repository with a commit: give the commit with --git-sha"
        )
    if _git(Path(root), "status", "--porcelain", "--", "pipeline"):
        progress(f"warning: pipeline/ has uncommitted changes; commit {head} does not hold them")
    return head


def _git(directory: Path, *arguments: str) -> str | None:
    git = shutil.which("git")
    if git is None:
        return None
    # The program is the one on PATH, the arguments are constants of this module.
    done = subprocess.run(  # noqa: S603
        [git, "-C", str(directory), *arguments], capture_output=True, text=True, check=False
    )
    return done.stdout.strip() if done.returncode == 0 else None
