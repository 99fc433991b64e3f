"""The report for a program: the versioned JSON shape."""

from __future__ import annotations

import json

from gitops_policy.reports.outcome import Outcome


def json_report(outcome: Outcome) -> str:
    """Return all reports as one JSON text; an input that cannot be read is an error of no rule."""
    content = outcome.total.as_json()
    content["errors"] += [
        {
            "rule": None,
            "resource": None,
            "message": failure.reason,
            "origin": {"overlay": None, "file": failure.file, "line": failure.line},
        }
        for failure in outcome.failures
    ]
    return json.dumps(content, indent=2)
