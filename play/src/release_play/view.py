"""What a person sees while a play runs: lines that stay, and one live line on a terminal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gitops_policy import Finding
from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.table import Table
from rich.text import Text

from release_play.outcome import OverlayOutcome, ReleaseOutcome, RunOutcome, StepOutcome

STYLES = {
    "promoted": "green",
    "pass": "green",
    "aborted": "red",
    "fail": "red",
    "undecided": "yellow",
}
#: As many as fit on a line; the report shows all.
NAMED_METRICS = 4


class View:
    """Writes to standard output; colours and the live line only on a terminal."""

    def __init__(self, console: Console | None = None):
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._status: Status | None = None

    @contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Show what is being done until the context is left."""
        with self._console.status(self._one_line(what)) as status:
            self._status = status
            yield
        self._status = None

    def now(self, what: str) -> None:
        """Replace the live line."""
        if self._status:
            self._status.update(self._one_line(what))

    def _one_line(self, text: str) -> Text:
        line = Text(text)
        line.truncate(self._console.width - 3, overflow="ellipsis")
        return line

    def heading(self, text: str) -> None:
        """Begin a part."""
        self._console.print(f"\n[bold]{escape(text)}[/bold]")

    def line(self, text: str) -> None:
        """Say one thing."""
        self._console.print(f"  {escape(text)}")

    def overlay(self, overlay: OverlayOutcome, findings: list[Finding]) -> None:
        """One rendered overlay, and what the policies found in it."""
        errors, warnings = overlay.findings["error"], overlay.findings["warning"]
        style = "red" if errors else "yellow" if warnings else "green"
        self._console.print(
            f"  {escape(overlay.name):<24} {overlay.manifests:>3} manifests  "
            f"[{style}]{errors} errors, {warnings} warnings[/{style}]"
        )
        for finding in findings:
            resource = finding.resource
            name = f"{resource.kind}/{resource.name}: " if resource else ""
            self._console.print(
                f"    {finding.severity.name} {escape(finding.rule)}: "
                f"{escape(name + finding.message)}"
            )

    def step(self, step: StepOutcome) -> None:
        """A finished analysis step: its metrics by verdict, by name where they are few."""
        groups = []
        for verdict in ("fail", "undecided", "pass"):
            names = [metric.name for metric in step.metrics if metric.verdict == verdict]
            if names:
                told = ", ".join(names) if len(names) <= NAMED_METRICS else f"{len(names)} metrics"
                groups.append(f"{told} {_styled(verdict)}")
        self._console.print(f"  {step.weight:>3} %  {_styled(step.verdict)}  ({'; '.join(groups)})")

    def release(self, release: ReleaseOutcome) -> None:
        """A finished release, and what the background saw of it."""
        for metric in release.beside:
            looks = metric.measurements
            failed = sum(look.phase == "Failed" for look in looks)
            self._console.print(
                f"  beside  {escape(metric.name)}: {failed} of {len(looks)} looks failed"
            )
        self._console.print(f"  {_styled(release.verdict)}: {escape(release.reason)}")

    def result(self, run: RunOutcome) -> None:
        """The table at the end; nothing when nothing was played."""
        if not run.releases:
            return
        table = Table("release", "expected", "verdict")
        for heading in ("seconds", "stable", "canary", "lost"):
            table.add_column(heading, justify="right")
        for release in run.releases:
            table.add_row(
                escape(release.name),
                release.expected,
                _styled(release.verdict),
                f"{release.seconds:.0f}",
                str(release.requests["stable"]),
                str(release.requests["canary"]),
                str(release.lost),
            )
        self._console.print()
        self._console.print(table)


def _styled(verdict: str) -> str:
    style = STYLES.get(verdict)
    return f"[{style}]{verdict}[/{style}]" if style else verdict
