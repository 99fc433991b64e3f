"""Rendering a side of a comparison, and linting what it renders."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from gitops_policy.config import Config
from gitops_policy.diff.trees import Side, SideError
from gitops_policy.engine import lint
from gitops_policy.findings import Finding, Origin, Report, RuleError
from gitops_policy.reading.build import (
    Build,
    build_files,
    build_folder,
    build_many,
    is_kustomization,
    repository,
)
from gitops_policy.reading.discovery import contents
from gitops_policy.reading.manifests import ManifestError
from gitops_policy.runs import release_findings
from gitops_policy.world import Workspace


@dataclass(frozen=True, slots=True)
class Rendered:
    """One overlay of a side: its build or why there is none, and what the rules say of it."""

    build: Build | None
    report: Report
    reason: str = ""


@dataclass(slots=True)
class Renders:
    """Everything that a side renders, by the path of its folder."""

    side: Side
    builds: dict[str, Rendered] = field(default_factory=dict)


def absent(paths: Iterable[str], sides: Iterable[Side]) -> list[str]:
    """Return the paths that exist on no side."""
    roots = [side.root for side in sides]
    return [path for path in paths if not any((root / path).exists() for root in roots)]


def render_side(side: Side, paths: Iterable[str], config: Config) -> Renders:
    """Render and lint what lies under `paths` of a side; what is not there is left out."""
    found = Renders(side)
    folders: dict[str, Path] = {}
    files: dict[str, list[Path]] = {}
    for path in paths:
        _collect(side, path, folders, files)
    for key, build in zip(folders, build_many(list(folders.values())), strict=True):
        found.builds[key] = _rendered(build, side, config, key)
    for key, group in files.items():
        found.builds[key] = _plain(key, group, side, config)
    return found


def _collect(side: Side, name: str, folders: dict[str, Path], files: dict[str, list[Path]]) -> None:
    path = side.root / name
    if is_kustomization(path):
        folders[_key(path, side)] = path
    elif path.is_dir():
        inside = contents(path)
        folders.update((_key(folder, side), folder) for folder in inside.kustomizations)
        if inside.files:
            files[_key(path, side)] = inside.files
    elif path.exists():
        files[_key(path, side)] = [path]


def _key(path: Path, side: Side) -> str:
    return Path(os.path.relpath(path.resolve(), side.root)).as_posix()


def _plain(key: str, files: list[Path], side: Side, config: Config) -> Rendered:
    """Read plain manifests; what can be read is judged beside what cannot."""
    if files == [side.root / key]:
        try:
            build, failures = build_files(files, key), list[ManifestError]()
        except ManifestError as error:
            return Rendered(None, Report(), side.shown(str(error)))
    else:
        build, failures = build_folder(files, key)
    rendered = _rendered(build, side, config, key)
    return replace(rendered, reason="; ".join(side.shown(str(error)) for error in failures))


def _rendered(build: Build | ManifestError, side: Side, config: Config, key: str) -> Rendered:
    if isinstance(build, ManifestError):
        report = release_findings(build, config)
        return Rendered(None, _shown(report, side, key), side.shown(str(build)))
    root = side.repository if side.commit else repository(build.path or side.root / key)
    workspace = Workspace(root)
    workspace.add(build)
    return Rendered(build, _shown(lint(build, config, workspace=workspace), side, key))


def _shown(report: Report, side: Side, key: str) -> Report:
    """Return a report whose places are those of the repository, not of its copy."""
    return replace(
        report,
        findings=tuple(_placed(finding, side, key) for finding in report.findings),
        exempted=tuple(
            replace(item, finding=_placed(item.finding, side, key)) for item in report.exempted
        ),
        errors=tuple(_error(error, side) for error in report.errors),
    )


def _placed(finding: Finding, side: Side, key: str) -> Finding:
    origin = finding.origin
    if origin:
        overlay = side.shown(origin.overlay) if origin.overlay else origin.overlay
        file = side.shown(origin.file) if origin.file else origin.file
        origin = Origin(overlay or key, file, origin.line)
    return replace(finding, origin=origin, message=side.shown(finding.message))


def _error(error: RuleError, side: Side) -> RuleError:
    return replace(error, message=side.shown(error.message))


def explain(missing: list[str], sides: Iterable[Side]) -> SideError:
    """Return the error that names paths which no side has."""
    where = " nor ".join(side.name for side in sides)
    return SideError(f"{', '.join(missing)}: neither in {where}")
