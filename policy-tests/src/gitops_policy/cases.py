"""Running a rule's own cases: `cases/<rule>/{pass,fail}-*`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from gitops_policy.config import Config
from gitops_policy.engine import lint
from gitops_policy.findings import Finding, Report
from gitops_policy.reading.build import (
    Build,
    build_files,
    build_folder,
    build_kustomization,
    is_kustomization,
    manifest_files,
)
from gitops_policy.world import Workspace


@dataclass(frozen=True, slots=True)
class Case:
    """One example of a rule: a manifest file, or a folder that stands for a repository.

    `expected` holds `Kind/name pointer` lines, sorted; it is empty for a passing case.
    """

    rule: str
    path: Path
    expected: tuple[str, ...]
    settings: dict[str, Any]

    @property
    def passes(self) -> bool:
        """Whether the rule must find nothing here."""
        return self.path.name.startswith("pass-")


def cases(folder: Path) -> Iterator[Case]:
    """Yield every case under `folder`, in order."""
    for path in sorted(folder.glob("*/*")):
        if path.name.startswith(("pass-", "fail-")):
            yield _case(path)


def _case(path: Path) -> Case:
    notes = path / "expect.txt" if path.is_dir() else path
    expected, settings = [], {}
    for line in notes.read_text().splitlines() if notes.exists() else ():
        if line.startswith("# expect: "):
            expected.append(line.removeprefix("# expect: ").strip())
        elif line.startswith("# config: "):
            settings = json.loads(line.removeprefix("# config: "))
    return Case(path.parent.name, path, tuple(sorted(expected)), settings)


def run_case(case: Case, *folders: Path) -> Report:
    """Lint a case with its rule, and those that its settings name under `with`.

    `folders` hold rules that are not part of this package.
    """
    settings = {name: _typed(name, value) for name, value in case.settings.items()}
    if "metrics" in settings:
        settings["metrics"] = tuple(case.path.parent / name for name in settings["metrics"])
    with_rules = settings.pop("with", ())
    config = Config(only=(case.rule, *with_rules), rules=folders, **settings)
    root = case.path if case.path.is_dir() else case.path.parent
    workspace = Workspace(root) if case.path.is_dir() else None
    return lint(_build(case.path), config, workspace=workspace)


def found(report: Report, rule: str) -> tuple[str, ...]:
    """Return the findings of one rule in the form of `Case.expected`."""
    mine = (finding for finding in report.findings if finding.rule == rule)
    return tuple(sorted(f"{_subject(finding)} {finding.pointer}".strip() for finding in mine))


def _subject(finding: Finding) -> str:
    resource = finding.resource
    return f"{resource.kind}/{resource.name}" if resource else "build"


def _build(path: Path) -> Build:
    if not path.is_dir():
        return build_files([path])
    if is_kustomization(path):
        return build_kustomization(path)
    candidates = [path / "overlay", *sorted(path.glob("overlays/production/*"))]
    own = next((p for p in candidates if is_kustomization(p)), None)
    if own:
        return build_kustomization(own)
    build, failures = build_folder(manifest_files(path))
    if failures:
        raise failures[0]
    return build


def _typed(name: str, value: Any) -> Any:
    if name in ("schemas", "exemptions"):
        return Path(value)
    if name == "today":
        return date.fromisoformat(value)
    return tuple(value) if isinstance(value, list) else value
