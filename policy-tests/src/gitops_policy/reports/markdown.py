"""A comment on a pull request: what to fix first, details folded, below GitHub's size limit."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.findings import Severity
from gitops_policy.reports.outcome import Group, Outcome, counted, groups
from gitops_policy.reports.text import exempted_line, printable

# GitHub refuses a comment of more than 65,536 characters.
LIMIT = 60_000
PLACES = 5
_SYMBOLS = {Severity.error: "❌", Severity.warning: "⚠️", Severity.info: "ℹ️"}
# An underscore inside a word is no markup.
_MARKUP = re.compile(r"[\\|\[\]*~`]|(?<!\w)_|_(?!\w)")
_HEAD = ["| rule | problem | where |", "| --- | --- | --- |"]


def markdown(outcome: Outcome) -> str:
    """Return the comment; what does not fit is counted at its end."""
    found = groups(outcome.reports)
    parts = [[f"### {_verdict(outcome)}", "", outcome.counts(), ""], *_sections(outcome, found)]
    kept, size, cut = [], 0, 0
    for part in parts:
        lines, length, dropped = _fitting(part, LIMIT - size)
        kept += lines
        size += length
        cut += dropped
    if cut:
        kept += ["", f"**{counted(cut, 'row')} left out** to stay below the size of a comment: "
                 "run `gitops-policy lint` for all of them."]  # fmt: skip
    return "\n".join(kept)


def _fitting(lines: list[str], room: int) -> tuple[list[str], int, int]:
    """Return the lines of a section that fit, their length, and the rows that were dropped."""
    rows = {position for position, line in enumerate(lines) if _is_row(line)}
    fixed = sum(len(line) + 1 for position, line in enumerate(lines) if position not in rows)
    if rows and fixed > room:
        return [], 0, len(rows)
    kept, length, dropped = [], fixed, 0
    for position, line in enumerate(lines):
        if position in rows:
            if dropped or length + len(line) + 1 > room:
                dropped += 1
                continue
            length += len(line) + 1
        kept.append(line)
    return kept, length, dropped


def _is_row(line: str) -> bool:
    return line.startswith(("| `", "- `"))


def _verdict(outcome: Outcome) -> str:
    if outcome.failures:
        return "gitops-policy: not all input can be read"
    if outcome.total.errors:
        return "gitops-policy: a rule crashed"
    if outcome.total.findings:
        return "gitops-policy: findings"
    return "gitops-policy: clean ✅"


def _sections(outcome: Outcome, found: list[Group]) -> Iterator[list[str]]:
    if outcome.failures:
        rows = [
            f"- {_code(f.file or 'input', f.line)} {_plain(f.reason)}" for f in outcome.failures
        ]
        yield ["**Cannot be read**", "", *rows, ""]
    if outcome.total.errors:
        rows = [f"- {_code(e.rule)} {_plain(f'{e.resource or str()} {e.message}')}"
                for e in outcome.total.errors]  # fmt: skip
        yield ["**Crashed rules**", "", *rows, ""]
    for severity in reversed(Severity):
        rows = [_row(group) for group in found if group.severity is severity]
        if rows:
            title = f"{_SYMBOLS[severity]} {severity.name}: {counted(len(rows), 'problem')}"
            table = [*_HEAD, *rows]
            yield (
                [f"**{title}**", "", *table, ""]
                if severity is Severity.error
                else _folded(title, table)
            )
    if outcome.total.exempted:
        items = [f"- {_code(exempted_line(item))}" for item in outcome.total.exempted]
        yield _folded(f"{len(items)} exempted", items)


def _folded(title: str, lines: list[str]) -> list[str]:
    return [f"<details><summary>{title}</summary>", "", *lines, "", "</details>", ""]


def _row(group: Group) -> str:
    places = [_where(place.where, place.subject, place.pointer) for place in group.places]
    left = len(places) - PLACES
    shown = places[:PLACES] + ([f"and {left} more"] if left > 0 else [])
    fix = f"<br>Fix: {_plain(group.fix)}" if group.fix else ""
    return f"| {_code(group.rule)} | {_plain(group.message)}{fix} | {'<br>'.join(shown)} |"


def _where(file: str, subject: str, pointer: str) -> str:
    return " ".join(_cell_code(part) for part in (file, subject, pointer) if part)


def _code(value: str, line: int | None = None) -> str:
    shown = f"{value}:{line}" if line else value
    return f"`{printable(shown).replace('`', chr(39))}`"


def _cell_code(value: str) -> str:
    """Write a code span inside a table, where a pipe would end the cell."""
    return _code(value).replace("|", "\\|")


def _plain(value: str) -> str:
    """Make a sentence safe in a table: no HTML, no mention, no link; what it quotes stays code."""
    parts = value.split("`")
    if len(parts) % 2 == 0:
        return _escaped(value)
    return "".join(_cell_code(part) if i % 2 else _escaped(part) for i, part in enumerate(parts))


def _escaped(value: str) -> str:
    shown = printable(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    shown = _MARKUP.sub(lambda sign: f"&#{ord(sign[0])};", shown)
    return shown.replace("@", "@\u200b").replace("://", ":\u200b//")
