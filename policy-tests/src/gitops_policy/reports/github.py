"""Workflow commands, which GitHub Actions shows beside the lines of a pull request."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.findings import Origin, Severity
from gitops_policy.reports.locations import repository_file
from gitops_policy.reports.outcome import Outcome, groups
from gitops_policy.reports.text import exempted_line, printable

_LEVELS = {Severity.error: "error", Severity.warning: "warning", Severity.info: "notice"}


def github(outcome: Outcome) -> str:
    """Return one command per place, errors first: GitHub shows ten of each level per step."""
    return "\n".join([*_annotations(outcome), *_exempted(outcome), outcome.counts()])


def _annotations(outcome: Outcome) -> Iterator[str]:
    for failure in outcome.failures:
        origin = Origin(None, failure.file, failure.line)
        yield command("error", failure.reason, "input cannot be read", origin)
    for error in outcome.total.errors:
        where = f" on {error.resource}" if error.resource else ""
        yield command("error", f"{error.rule}{where}: {error.message}", "a rule crashed", None)
    for group in groups(outcome.reports):
        for place in group.places:
            finding = place.finding
            where = f"{place.subject} {place.pointer}".strip()
            lines = [group.message, where, f"Fix: {group.fix}" if group.fix else ""]
            if len(outcome.reports) > 1:
                lines.append(f"In {', '.join(place.builds)}")
            message = "\n".join(line for line in lines if line)
            yield command(_LEVELS[group.severity], message, group.rule, finding.origin)


def _exempted(outcome: Outcome) -> Iterator[str]:
    exempted = outcome.total.exempted
    if exempted:
        yield f"::group::{len(exempted)} exempted"
        yield from (printable(exempted_line(item)) for item in exempted)
        yield "::endgroup::"


def command(level: str, message: str, title: str, origin: Origin | None) -> str:
    """Write one workflow command with everything escaped that could end it early."""
    file = repository_file(origin)
    properties = {"file": file, "line": origin.line if origin and file else None, "title": title}
    shown = ",".join(f"{k}={_property(str(v))}" for k, v in properties.items() if v)
    return f"::{level} {shown}::{_data(message)}"


def _data(value: str) -> str:
    lines = (printable(line) for line in value.replace("%", "%25").splitlines())
    return "%0A".join(lines)


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
