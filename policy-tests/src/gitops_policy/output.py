"""Reports for people (text) and programs (JSON)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from gitops_policy.findings import Finding, Report, Severity, merge

_COLOURS = {"error": "31", "warning": "33", "info": "36", "ok": "32", "dim": "2", "bold": "1"}


def as_json(reports: Mapping[str, Report]) -> str:
    """Return all reports as one JSON text in the versioned shape."""
    return json.dumps(merge(reports.values()).as_json(), indent=2)


class Text:
    """Writes reports as text, grouped by overlay; `colour` adds terminal colours."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def render(self, reports: Mapping[str, Report]) -> str:
        """Return the whole text with its summary line."""
        lines = [line for name, report in reports.items() for line in self._group(name, report)]
        lines.append(self._summary(merge(reports.values()), len(reports)))
        return "\n".join(lines)

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if self.colour else text

    def _group(self, name: str, report: Report) -> Iterator[str]:
        state = "" if report.findings or report.errors else self._paint("  clean", "ok")
        yield self._paint(name, "bold") + state
        for finding in report.findings:
            yield from self._finding(finding)
        for error in report.errors:
            where = f" on {error.resource}" if error.resource else ""
            yield f"  {self._paint('crashed', 'error')}  {error.rule}{where}: {error.message}"
        for item in report.exempted:
            shown = f"{item.finding.rule}  {item.finding.resource}"
            yield self._paint(
                f"  exempted  {shown}: {item.reason} ({item.owner}, until {item.until})", "dim"
            )
        yield ""

    def _finding(self, finding: Finding) -> Iterator[str]:
        severity = self._paint(f"{finding.severity.name:<7}", finding.severity.name)
        subject = f"{finding.resource}  " if finding.resource else ""
        yield f"  {severity}  {finding.rule}  {subject}{self._paint(finding.pointer, 'dim')}"
        yield f"           {finding.message}"
        if finding.fix:
            yield f"           fix: {finding.fix}"
        if finding.origin:
            yield self._paint(f"           at {finding.origin}", "dim")

    def _summary(self, total: Report, number: int) -> str:
        counts = {s: sum(f.severity == s for f in total.findings) for s in reversed(Severity)}
        said = ", ".join(_count(n, s.name) for s, n in counts.items() if s != Severity.info or n)
        parts = [_count(number, "build"), _count(len(total.evaluated), "rule"), said]
        if total.exempted:
            parts.append(f"{len(total.exempted)} exempted")
        if total.errors:
            parts.append(_count(len(total.errors), "crashed rule"))
        return self._paint(": ".join([", ".join(parts[:2]), ", ".join(parts[2:])]), "bold")


def _count(number: int, noun: str) -> str:
    plural = noun if number == 1 or noun == "info" else noun + "s"
    return f"{number} {plural}"
