"""Reports: one module per format, each a pure function of the outcome of a run."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from gitops_policy.reports.outcome import Outcome

FORMATS = ("text", "json", "sarif", "junit", "github", "markdown")


def write(outcome: Outcome, form: str) -> str:
    """Return the report in one of `FORMATS`."""
    return _writers()[form](outcome)


def _writers() -> Mapping[str, Callable[[Outcome], str]]:
    """Import the writers when one is needed: a start should not pay for six formats."""
    from gitops_policy.reports.github import github
    from gitops_policy.reports.json_report import json_report
    from gitops_policy.reports.junit import junit
    from gitops_policy.reports.markdown import markdown
    from gitops_policy.reports.sarif import sarif
    from gitops_policy.reports.text import text

    return {
        "text": text,
        "json": json_report,
        "sarif": sarif,
        "junit": junit,
        "github": github,
        "markdown": markdown,
    }


__all__ = ["FORMATS", "Outcome", "write"]
