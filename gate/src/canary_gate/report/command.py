"""The command `canary-gate report`: simulate, judge, write."""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from typing import Any

from canary_gate.analysis import Analysis
from canary_gate.report.contents import Findings, document
from canary_gate.report.document import write_markdown, write_page, write_text
from canary_gate.simulation.agreement import Compared, compared
from canary_gate.simulation.campaign import (
    Cells,
    campaign,
    judgements,
    key,
    passing_alone,
    sequential,
)
from canary_gate.simulation.cells import Cell
from canary_gate.simulation.default_ladder import ladder_steps
from canary_gate.simulation.expectations import EXPECTATIONS, interval
from canary_gate.simulation.server import prometheus


def run(options: argparse.Namespace) -> int:
    """Simulate and write the three reports; exit status 1 if a limit is missed.

    Raises ServerError where Prometheus cannot be started.
    """
    sys.stderr.write(f"canary-gate: {options.releases:,} releases of each kind ...\n")
    cells = campaign(
        options.rollouts,
        EXPECTATIONS,
        releases=options.releases,
        seed=options.seed,
        processes=options.processes,
    )
    sys.stderr.write(f"canary-gate: {options.alone:,} bad releases at each step alone ...\n")
    alone = {
        (name, rps): pair
        for rps in (10.0, 100.0)
        for name, pair in passing_alone(
            options.rollouts,
            rps,
            releases=options.alone,
            seed=options.seed,
            processes=options.processes,
        ).items()
    }
    steps = ladder_steps(options.rollouts)
    findings = Findings(
        expectations=EXPECTATIONS,
        cells=cells,
        judgements=judgements(cells, EXPECTATIONS),
        alone=alone,
        sequential=sequential(options.rollouts, cells, EXPECTATIONS),
        compared=_compared(options),
        templates=fingerprint(steps),
        seed=options.seed,
    )
    written = document(findings)
    write_markdown(written, options.page)
    write_page(written, options.output / "report.html")
    write_text(json.dumps(as_json(cells), indent=1) + "\n", options.output / "report.json")
    missed = [judgement for judgement in findings.judgements if judgement.status == "missed"]
    for judgement in missed:
        cell, limit = judgement.cell, judgement.limit
        sys.stdout.write(
            f"missed: {cell.scenario} at {cell.canary_rps:g}/s: "
            f"{limit.quantity} {judgement.value:.4g}, limit {limit.bound:g}\n"
        )
    differences = [each for step in findings.compared for each in step.differences]
    for difference in differences:
        sys.stdout.write(f"Prometheus differs: {difference}\n")
    sys.stdout.write(
        f"{len(cells)} kinds of release, {len(missed)} limits missed: {options.page}, "
        f"{options.output / 'report.html'}\n"
    )
    return 1 if missed or differences else 0


def _compared(options: argparse.Namespace) -> list[Compared]:
    """One release of every scenario, judged by a real Prometheus as well."""
    sys.stderr.write("canary-gate: the same by a real Prometheus ...\n")
    scenarios = {key(s): s for each in EXPECTATIONS for s in each.scenarios if s.canary_rps <= 100}
    with prometheus(options.prometheus) as address:
        return [
            step
            for scenario in scenarios.values()
            for step in compared(
                address,
                scenario,
                ladder_steps(options.rollouts, scenario.arguments),
                releases=1,
                seed=options.seed,
            )
        ]


def fingerprint(steps: Sequence[tuple[int, Analysis]]) -> str:
    """Twelve digits that change with any query, condition, limit or argument of the steps."""
    metrics = [(weight, metric) for weight, analysis in steps for metric in analysis.metrics]
    text = " ".join(repr(metrics).replace("\\n", " ").split())
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def as_json(cells: Cells) -> dict[str, Any]:
    """The shape of `build/gate/report.json`."""
    return {"cells": [_cell(cell) for found in cells.values() for cell in found]}


def _cell(cell: Cell) -> dict[str, Any]:
    return {
        "scenario": cell.scenario,
        "template": cell.template,
        "canary_rps": cell.canary_rps,
        "releases": cell.releases,
        "aborted": _share(cell.aborted, cell.releases),
        "undecided": _share(cell.undecided, cell.releases),
        "promoted": _share(cell.promoted, cell.releases),
        "requests_to_verdict": cell.requests.mean,
        "seconds_to_verdict": cell.seconds.mean,
    }


def _share(count: int, releases: int) -> dict[str, float]:
    low, high = interval(count, releases)
    return {"rate": count / releases, "low": low, "high": high}
