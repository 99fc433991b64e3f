"""A comparison as text for a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.diff.compare import BuildDiff, Edit, ObjectDiff
from gitops_policy.diff.report import Comparison, model_shown
from gitops_policy.diff.wording import (
    about,
    arrow,
    block,
    count,
    image_arrow,
    images,
    is_block,
    reach,
    restarts,
)
from gitops_policy.findings import Finding
from gitops_policy.reports.text import printable

_COLOURS = {"+": "32", "-": "31", "~": "33", "dim": "2", "bold": "1", "error": "31"}
_MARKS = {"added": "+", "removed": "-", "changed": "~"}


class Text:
    """Writes a comparison as text; `colour` adds terminal colours."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def render(self, comparison: Comparison) -> str:
        """Return the whole text with its summary line."""
        lines = [self._paint(f"{comparison.base} -> {comparison.head}", "bold")]
        if comparison.builds:
            for part in (self._overview, self._radius, self._builds):
                lines += part(comparison)
        else:
            lines.append(f"no difference in {count(comparison.compared, 'overlay')}")
        lines += self._findings(comparison)
        return "\n".join(map(self._safe, lines))

    def _safe(self, line: str) -> str:
        """Show control characters of the manifests; only our own colours reach the terminal."""
        parts = re.split("(\x1b\\[[0-9]{1,2}m)", line) if self.colour else [line]
        return "".join(part if i % 2 else printable(part) for i, part in enumerate(parts))

    def _paint(self, text: str, style: str) -> str:
        return f"\x1b[{_COLOURS[style]}m{text}\x1b[0m" if self.colour else text

    def _overview(self, comparison: Comparison) -> Iterator[str]:
        for before, after, where in images(comparison):
            yield f"  image     {image_arrow(before, after)}  in {', '.join(where)}"
        for build in comparison.builds:
            for release in build.releases:
                yield f"  model     {model_shown(release)}  in {build.name}"
        for category in ("replicas", "traffic"):
            for build, item, edit in comparison.edits(category):
                shown = f"{edit.place} {arrow(edit)}"
                yield f"  {category:<8}  {shown}  of {item.shown} in {build.name}"

    def _radius(self, comparison: Comparison) -> Iterator[str]:
        yield ""
        for radius in comparison.radius():
            name = self._paint(radius.environment, "bold")
            yield f"  reaches {name}: {reach(radius)}; {restarts(radius)}"

    def _builds(self, comparison: Comparison) -> Iterator[str]:
        for build in comparison.builds:
            yield ""
            yield self._paint(build.name, "bold") + self._status(build)
            if build.reason:
                yield f"  {self._paint('unreadable', 'error')}  {build.reason}"
            for item in build.objects:
                yield from self._object(item)

    @staticmethod
    def _status(build: BuildDiff) -> str:
        notes = {"added": "  only in the head", "removed": "  only in the base"}
        return notes.get(build.status, "")

    def _object(self, item: ObjectDiff) -> Iterator[str]:
        note = about(item)
        mark = self._paint(_MARKS[item.status], _MARKS[item.status])
        yield f"  {mark} {item.shown}" + (self._paint(f"  {note}", "dim") if note else "")
        for edit in item.edits:
            yield from self._edit(edit)
        if item.restarts:
            yield f"      {item.restarts}"

    def _edit(self, edit: Edit) -> Iterator[str]:
        if is_block(edit):
            yield f"      {edit.place}"
            for line in block(edit):
                yield "        " + (self._paint(line, line[0]) if line[:1] in "+-" else line)
            return
        yield f"      {edit.place}: {arrow(edit)}"

    def _findings(self, comparison: Comparison) -> Iterator[str]:
        news = comparison.news
        yield ""
        for finding in news.new:
            yield from self._finding("new", finding)
        for finding in news.fixed:
            yield f"  {self._paint('fixed', '+')}  {finding.rule}  {_subject(finding)}"
        for error in comparison.errors:
            where = f" on {error.resource}" if error.resource else ""
            yield f"  {self._paint('crashed', 'error')}  {error.rule}{where}: {error.message}"
        differing = len(comparison.builds)
        yield self._paint(
            f"{differing} of {count(comparison.compared, 'overlay')} changed: "
            f"{count(len(news.new), 'new finding')}, {len(news.fixed)} fixed, "
            f"{news.unchanged} as before",
            "bold",
        )

    def _finding(self, state: str, finding: Finding) -> Iterator[str]:
        shown = self._paint(f"{state} {finding.severity.name}", "-")
        yield f"  {shown}  {finding.rule}  {_subject(finding)}  {finding.pointer}"
        yield f"           {finding.message}"
        if finding.fix:
            yield f"           fix: {finding.fix}"
        if finding.origin:
            yield self._paint(f"           at {finding.origin}", "dim")


def _subject(finding: Finding) -> str:
    overlay = finding.origin.overlay if finding.origin else None
    parts = [str(finding.resource or "")] + ([f"({overlay})"] if overlay else [])
    return " ".join(filter(None, parts))
