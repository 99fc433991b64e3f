"""A comparison as Markdown for a pull request."""

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

# GitHub refuses a comment of more than 65,536 characters.
LONGEST = 60_000


def markdown(comparison: Comparison) -> str:
    """Return the comparison as the body of a pull request comment."""
    head = [f"### Rendered changes: {_code(comparison.base)} → {_code(comparison.head)}", ""]
    head += _overview(comparison) if comparison.builds else _nothing(comparison)
    head += _findings(comparison)
    details = [line for build in comparison.builds for line in _build(build)]
    return _bounded([printable(line) for line in head], [printable(line) for line in details])


def _bounded(head: list[str], details: list[str]) -> str:
    text = "\n".join([*head, *details])
    if len(text) <= LONGEST:
        return text
    note = "The list of fields is too long for a comment; `--format text` shows it."
    short = "\n".join([*head, note])
    return short if len(short) <= LONGEST else short[:LONGEST] + "\n..."


def _nothing(comparison: Comparison) -> list[str]:
    return [f"No difference in {count(comparison.compared, 'overlay')}.", ""]


def _overview(comparison: Comparison) -> Iterator[str]:
    yield "| Environment | Objects | Pods |"
    yield "| --- | --- | --- |"
    for radius in comparison.radius():
        cells = (radius.environment, reach(radius), restarts(radius))
        yield f"| {' | '.join(_cell(cell) for cell in cells)} |"
    yield ""
    for before, after, where in images(comparison):
        yield f"- **Image** {_code(image_arrow(before, after))} in {', '.join(where)}"
    for build in comparison.builds:
        for release in build.releases:
            yield f"- **Model** {_code(model_shown(release))} in {build.name}"
    for category in ("replicas", "traffic"):
        for build, item, edit in comparison.edits(category):
            shown = _code(f"{edit.place} {arrow(edit)}")
            yield f"- **{category.title()}** {shown} of {item.shown} in {build.name}"
    for build in comparison.unreadable:
        yield f"- **Unreadable** {build.name}: {_code(build.reason)}"
    yield ""


def _findings(comparison: Comparison) -> Iterator[str]:
    news = comparison.news
    yield (
        f"**{count(len(news.new), 'new finding')}**, {len(news.fixed)} fixed, "
        f"{news.unchanged} as before."
    )
    yield ""
    if news.new:
        yield "| Severity | Rule | Object | What is wrong | Where |"
        yield "| --- | --- | --- | --- | --- |"
        for finding in news.new:
            yield _row(finding)
        yield ""
    for finding in news.fixed:
        yield f"- fixed: `{finding.rule}` {_cell(str(finding.resource or ''))}".rstrip()
    for error in comparison.errors:
        yield f"- rule crashed: `{error.rule}`: {_code(error.message)}"
    if news.fixed or comparison.errors:
        yield ""


def _row(finding: Finding) -> str:
    what = finding.message + (f"; {finding.fix}" if finding.fix else "")
    cells = (
        finding.severity.name,
        f"`{finding.rule}`",
        _cell(str(finding.resource or "")),
        _cell(what),
        _cell(str(finding.origin or "")),
    )
    return f"| {' | '.join(cells)} |"


def _build(build: BuildDiff) -> Iterator[str]:
    if not build.objects:
        return
    yield "<details>"
    notes = {"added": ", only in the head", "removed": ", only in the base"}
    number = count(len(build.objects), "object")
    yield f"<summary>{_cell(build.name)}: {number}{notes.get(build.status, '')}</summary>"
    yield ""
    for item in build.objects:
        yield from _object(item)
    yield ""
    yield "</details>"
    yield ""


def _object(item: ObjectDiff) -> Iterator[str]:
    note = about(item)
    yield f"- {item.status} **{_cell(item.shown)}**" + (f" ({_cell(note)})" if note else "")
    for edit in item.edits:
        yield from _edit(edit)


def _edit(edit: Edit) -> Iterator[str]:
    if is_block(edit):
        yield f"  - {_code(edit.place)}"
        lines = block(edit)
        fence = "`" * max(3, 1 + max((_ticks(line) for line in lines), default=0))
        yield ""
        yield from (f"    {line}" for line in (f"{fence}diff", *lines, fence))
        yield ""
        return
    yield f"  - {_code(edit.place)}: {_code(arrow(edit))}"


def _code(text: object) -> str:
    """Return an inline code span; more backticks around a text that holds some."""
    shown = str(text).replace("\n", " ").strip()
    fence = "`" * (_ticks(shown) + 1)
    space = " " if "`" in shown else ""
    return f"{fence}{space}{shown}{space}{fence}"


def _ticks(text: str) -> int:
    return max((len(run) for run in re.findall(r"`+", text)), default=0)


def _cell(text: str) -> str:
    """Return text that neither ends a table cell nor is taken for HTML or a mention."""
    escaped = text.replace("\n", " ").replace("\\", "\\\\").replace("|", "\\|")
    escaped = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return re.sub(r"([*_`\[\]])", r"\\\1", escaped).replace("@", "&#64;")
