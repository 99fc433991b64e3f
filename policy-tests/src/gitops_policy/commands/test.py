"""`gitops-policy test`: run the cases of rules of your own."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from gitops_policy.cases import Case, cases, found, run_case
from gitops_policy.commands.options import Commands
from gitops_policy.config import ConfigError
from gitops_policy.exits import CLEAN, CRASHED, FINDINGS
from gitops_policy.reading.kustomization import shown
from gitops_policy.registry import rules
from gitops_policy.reports.outcome import counted


def add_parser(commands: Commands) -> None:
    """Add the subcommand to those of the command."""
    parser = commands.add_parser("test", help="run the cases of rules of your own")
    parser.add_argument("folder", type=Path, metavar="DIR", help="rules, and cases/ beside them")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run every case; returns 1 where one fails or a rule lacks one, 3 where a rule crashed.

    Raises ConfigError for a case of no rule, RuleLoadError for a rule that cannot be imported.
    """
    builtin = {rule.id for rule in rules()}
    added = {rule.id for rule in rules(options.folder)} - builtin
    tried = list(cases(options.folder / "cases"))
    stray = sorted({case.rule for case in tried} - added)
    if stray:
        raise ConfigError(f"{options.folder}: cases of no rule there: {', '.join(stray)}")
    said = [line for case in tried for line in _failed(case, options.folder)]
    said += [
        f"{rule}: needs cases/{rule}/{outcome}-<why>.yaml"
        for rule in sorted(added)
        for outcome in ("pass", "fail")
        if not any(case.rule == rule and case.passes == (outcome == "pass") for case in tried)
    ]
    print("\n".join([*said, f"{counted(len(added), 'rule')}, {counted(len(tried), 'case')}: "
                     f"{'not ' if said else ''}as expected"]))  # fmt: skip
    if any(": crashed: " in line for line in said):
        return CRASHED
    return FINDINGS if said else CLEAN


def _failed(case: Case, folder: Path) -> Iterator[str]:
    report = run_case(case, folder)
    name = shown(case.path)
    for error in report.errors:
        yield f"{name}: crashed: {error.message}"
    actual = found(report, case.rule)
    yield from (f"{name}: not found: {line}" for line in case.expected if line not in actual)
    yield from (f"{name}: not expected: {line}" for line in actual if line not in case.expected)
    if case.passes is bool(case.expected):
        yield f"{name}: a passing case expects nothing, a failing one something"
