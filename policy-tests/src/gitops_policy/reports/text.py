"""The report for a person at a terminal."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.findings import Exempted, Severity
from gitops_policy.reports.outcome import Group, Outcome, Place, groups

PLACES = 10
BUILDS = 4
_ALIGNED = 60
_COLOURS = {"error": "31", "warning": "33", "info": "36", "ok": "32", "dim": "2", "bold": "1"}
_INDENT = " " * 9
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")


def text(outcome: Outcome, *, colour: bool = False, failures: bool = True) -> str:
    """Write the report; places beyond the tenth of a problem are counted, unless one rule ran.

    Without `failures` it only counts what cannot be read, which is then said elsewhere.
    """
    return "\n".join(_Text(outcome, colour).lines(failures))


def printable(value: str) -> str:
    """Show control characters instead of sending them to a terminal or a log."""
    return _UNPRINTABLE.sub(lambda found: found[0].encode("unicode_escape").decode(), value)


class _Text:
    def __init__(self, outcome: Outcome, colour: bool) -> None:
        self.outcome = outcome
        self.colour = colour
        self.limit = None if len(outcome.rules) == 1 else PLACES

    def lines(self, failures: bool) -> Iterator[str]:
        previous = ""
        found = groups(self.outcome.reports)
        for group in found:
            if previous not in ("", group.rule):
                yield ""
            yield from self._group(group)
            previous = group.rule
        if previous:
            yield ""
        rest = [*self._crashed(), *self._exempted()]
        if failures:
            rest = [f"cannot be read  {printable(str(f))}" for f in self.outcome.failures] + rest
        yield from [*rest, ""] if rest else []
        if found:
            hint = f"Why a rule exists, and how to exempt: gitops-policy explain {found[0].rule}"
            yield self._paint(hint, "dim")
        yield self._paint(self.outcome.counts(), "bold")

    def _paint(self, value: str, style: str) -> str:
        return f"\x1b[{_COLOURS[style]}m{value}\x1b[0m" if self.colour else value

    def _group(self, group: Group) -> Iterator[str]:
        severity = self._paint(f"{group.severity.name:<7}", group.severity.name)
        rule = self._paint(group.rule, "bold")
        yield f"{severity}  {rule}  {printable(group.message)}"
        shown = group.places[: self.limit]
        width = max(
            (len(place.where) for place in shown if len(place.where) <= _ALIGNED), default=0
        )
        for place in shown:
            yield _INDENT + self._place(place, width)
        left = len(group.places[self.limit :]) if self.limit else 0
        if left:
            more = f"and {left} more: gitops-policy lint --only {group.rule} ..."
            yield _INDENT + self._paint(more, "dim")
        if group.fix:
            yield f"{_INDENT}fix: {printable(group.fix)}"

    def _place(self, place: Place, width: int) -> str:
        parts = [printable(place.where).ljust(width), printable(place.subject)]
        parts.append(self._paint(printable(place.pointer), "dim") if place.pointer else "")
        if len(self.outcome.reports) > 1 and not place.where.startswith(place.builds[0]):
            shown = place.builds[:BUILDS]
            left = len(place.builds) - len(shown)
            more = f" and {left} more" if left else ""
            parts.append(self._paint(f"in {printable(', '.join(shown))}{more}", "dim"))
        return "  ".join(part for part in parts if part).rstrip()

    def _crashed(self) -> Iterator[str]:
        for error in self.outcome.total.errors:
            where = f" on {error.resource}" if error.resource else ""
            crashed = self._paint("crashed", Severity.error.name)
            yield f"{crashed}  {printable(f'{error.rule}{where}: {error.message}')}"

    def _exempted(self) -> Iterator[str]:
        for item in self.outcome.total.exempted:
            yield self._paint(f"exempted  {printable(exempted_line(item))}", "dim")


def exempted_line(item: Exempted) -> str:
    """Say in one line what was exempted, by whom, until when and why."""
    subject = f"  {item.finding.resource}" if item.finding.resource else ""
    return f"{item.finding.rule}{subject}: {item.reason} ({item.owner}, until {item.until})"
