"""Reports: one module per format, each a pure function of the outcome of a run."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module

from gitops_policy.reports.outcome import Outcome

FORMATS = ("text", "json", "sarif", "junit", "github", "markdown")


def write(outcome: Outcome, form: str) -> str:
    """Return the report in one of `FORMATS`."""
    name = "json_report" if form == "json" else form
    # Imported when it is needed: a start should not pay for six formats.
    writer: Callable[[Outcome], str] = getattr(import_module(f"{__name__}.{name}"), name)
    return writer(outcome)


__all__ = ["FORMATS", "Outcome", "write"]
