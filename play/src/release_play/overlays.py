"""Every overlay rendered and held to the policies."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gitops_policy import Build, Config, Finding, Report, Workspace, lint
from gitops_policy.config_file import find_config, read_config
from gitops_policy.reading.build import build_kustomization

from release_play.outcome import OverlayOutcome
from release_play.pods import Document


@dataclass(frozen=True)
class Overlay:
    """A rendered overlay and what the policies say of it."""

    name: str
    build: Build
    report: Report

    @property
    def documents(self) -> list[Document]:
        """The rendered objects."""
        return [document.content for document in self.build]

    @property
    def outcome(self) -> OverlayOutcome:
        """Its line of the report."""
        counts = {"error": 0, "warning": 0}
        for finding in self.report.findings:
            if finding.severity.name.lower() in counts:
                counts[finding.severity.name.lower()] += 1
        counts["error"] += len(self.report.errors)
        return OverlayOutcome(self.name, len(self.build.documents), counts)

    @property
    def findings(self) -> list[Finding]:
        """The findings that are errors or warnings."""
        return [f for f in self.report.findings if f.severity.name.lower() in ("error", "warning")]


def read_overlay(repository: Path, name: str, schemas: Path) -> Overlay:
    """Render one overlay and lint it; RenderError with file, line and reason where it is broken."""
    folder = repository / "overlays" / name
    build = build_kustomization(folder)
    file = find_config([str(folder)])
    settings = (read_config(file) if file else {}) | {"schemas": schemas}
    report = lint(build, Config(**settings), workspace=Workspace(repository))
    return Overlay(name, build, report)
