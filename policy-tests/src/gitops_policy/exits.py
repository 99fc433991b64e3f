"""The exit status of a command."""

from __future__ import annotations

from gitops_policy.findings import Severity
from gitops_policy.reports.outcome import Outcome

CLEAN, FINDINGS, UNREADABLE, CRASHED, INTERRUPTED = 0, 1, 2, 3, 130


def status(outcome: Outcome) -> int:
    """Return the status of a run: unreadable input outranks a crash, a crash outranks findings."""
    if outcome.failures:
        return UNREADABLE
    if outcome.total.errors:
        return CRASHED
    if outcome.fail_on == "never":
        return CLEAN
    return FINDINGS if outcome.total.at_least(Severity[outcome.fail_on]) else CLEAN
