"""The linters side by side: how each is run on files, and what each says, in one form."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from measure import BenchError, Command

ROOT = Path(__file__).resolve().parents[2]
Said = tuple[str, str]


@dataclass(frozen=True)
class Linter:
    """One linter: the command on files, and how to read its JSON as (check, place)."""

    name: str
    command: Callable[[Iterable[Path]], Command]
    as_json: tuple[str, ...]
    read: Callable[[Any], set[Said]]
    ask_version: Command

    def findings(self, files: Iterable[Path]) -> set[Said]:
        """Return what it says about files."""
        command = [*self.command(files), *self.as_json]
        done = subprocess.run(
            list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False
        )
        if done.returncode not in (0, 1):
            raise BenchError(f"{self.name}: exit status {done.returncode}\n{done.stderr[-500:]}")
        return self.read(json.loads(done.stdout))

    def version(self) -> str:
        """Return its version as it says it."""
        command = list(map(str, self.ask_version))
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        words = done.stdout.replace(",", " ").split()
        return next(word for word in words if word[0].isdigit())


def _ours(report: Any) -> set[Said]:
    return {
        (f["rule"], f"{_place(f['resource'])} {f['pointer']}")
        for f in report["findings"]
        if f["severity"] != "info"
    }


def _place(resource: dict[str, str] | None) -> str:
    return "/".join((resource or {}).get(key, "") for key in ("kind", "namespace", "name"))


def _checkov(report: Any) -> set[Said]:
    found = report["results"]["failed_checks"]
    return {(check["check_id"], check["resource"]) for check in found}


def _kube_score(report: Any) -> set[Said]:
    return {
        (check["check"]["id"], f"{thing['object_name']}: {comment['path']} {comment['summary']}")
        for thing in report
        for check in thing["checks"]
        if not check["skipped"] and check["grade"] < 10
        for comment in check["comments"] or ()
    }


BIN, CHECKOV = ROOT / ".venv" / "bin", ROOT / ".venvs" / "checkov" / "bin"
KUBE_SCORE = ROOT / ".tools" / "bin" / "kube-score"
_VERSION = "from importlib.metadata import version; print(version('gitops-policy'))"


def _checkov_on(files: Iterable[Path]) -> Command:
    named = [part for file in files for part in ("--file", file)]
    # Without the flags it asks a server for severities and downloads what others wrote.
    flags = ("--framework", "kubernetes", "--quiet", "--compact", "--skip-download")
    return [CHECKOV / "checkov", *flags, *named]


OURS = Linter(
    "gitops-policy",
    lambda files: [BIN / "gitops-policy", "lint", *files],
    ("--format", "json"),
    _ours,
    (BIN / "python", "-c", _VERSION),
)
LINTERS = (
    OURS,
    Linter(
        "checkov",
        _checkov_on,
        ("--output", "json"),
        _checkov,
        (CHECKOV / "checkov", "--version"),
    ),
    Linter(
        "kube-score",
        lambda files: [KUBE_SCORE, "score", *files],
        ("--output-format", "json"),
        _kube_score,
        (KUBE_SCORE, "version"),
    ),
)
