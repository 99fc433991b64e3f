"""The report for a program: the versioned JSON shape."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from gitops_policy.reports.outcome import Outcome


def json_report(outcome: Outcome) -> str:
    """Return all reports as one JSON text; an input that cannot be read is an error of no rule."""
    total = outcome.total
    errors = [error.as_json() for error in total.errors]
    errors += [
        {
            "rule": None,
            "resource": None,
            "message": failure.reason,
            "origin": {"overlay": None, "file": failure.file, "line": failure.line},
        }
        for failure in outcome.failures
    ]
    parts = {
        "version": "1",
        "findings": array(finding.as_json() for finding in total.findings),
        "exempted": array(item.as_json() for item in total.exempted),
        "evaluated": json.dumps(dict(sorted(total.evaluated.items()))),
        "errors": array(errors),
    }
    return "{" + ",\n".join(f'"{name}": {value}' for name, value in parts.items()) + "}"


def array(items: Iterable[Any]) -> str:
    """Write a JSON array with one item per line: fast, and readable enough."""
    return "[" + ",".join(f"\n  {json.dumps(item)}" for item in items) + "]"
