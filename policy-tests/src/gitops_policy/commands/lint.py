"""`gitops-policy lint`: check overlays, folders or files."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from gitops_policy.commands.options import Commands, add_settings, config_from
from gitops_policy.commands.streams import check_output, progress, say, wants_colour, write_output
from gitops_policy.config import Config, ConfigError
from gitops_policy.exits import status
from gitops_policy.findings import Report
from gitops_policy.ledger import judged
from gitops_policy.reading.kustomization import shown
from gitops_policy.reading.manifests import ManifestError
from gitops_policy.reports import FORMATS, Outcome, write
from gitops_policy.reports.text import text
from gitops_policy.runs import check, refuse_impossible


def add_parser(commands: Commands) -> None:
    """Add the subcommand to those of the command."""
    parser = commands.add_parser("lint", help="check overlays, folders or files")
    add = parser.add_argument
    add("paths", nargs="*", metavar="PATH", help="a kustomization, a folder or file, or -")
    add("--format", choices=FORMATS, default="text")
    add("--output", type=Path, metavar="FILE", help="write the report there, whole or not at all")
    add("--jobs", type=_jobs, metavar="N", help="processes (default: as many as help)")
    add_settings(parser)
    parser.set_defaults(run=run)


def _jobs(value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise argparse.ArgumentTypeError(f"{value!r} is not a number of processes")
    return int(value)


def run(options: argparse.Namespace) -> int:
    """Run the subcommand; returns its exit status.

    Raises ConfigError or ManifestError for misuse.
    """
    check_output(options.output)
    refuse_impossible(options.paths)
    config = config_from(options, options.paths or ["-"])
    paths = options.paths or [shown(path) for path in config.paths]
    if not paths:
        raise ConfigError("name a PATH, or set `paths` in a configuration file")
    with progress("linting"):
        outcome = _outcome(paths, config, options.jobs)
    _publish(outcome, options)
    for failure in outcome.failures:
        say(failure)
    return status(outcome)


def _outcome(paths: list[str], config: Config, jobs: int | None) -> Outcome:
    reports: dict[str, Report] = {}
    try:
        reports, failures = check(paths, config, jobs=jobs)
        reports = judged(reports, paths, config)
    except ManifestError as error:
        failures = [error]
    return Outcome(reports, tuple(failures), config.selected(), config.fail_on)


def _publish(outcome: Outcome, options: argparse.Namespace) -> None:
    if options.output:
        write_output(write(outcome, options.format) + "\n", options.output)
        say(f"{outcome.counts()} ({options.output})")
    elif options.format != "text":
        _print(write(outcome, options.format))
    elif outcome.reports:
        _print(text(outcome, colour=wants_colour(sys.stdout), failures=False))


def _print(report: str) -> None:
    """Print the report; a reader that has left takes nothing from the verdict."""
    try:
        print(report, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
