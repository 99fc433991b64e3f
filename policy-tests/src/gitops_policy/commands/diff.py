"""`gitops-policy diff`: what a change does to the rendered manifests, and its new findings."""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gitops_policy.commands.options import Commands, add_settings, config_from
from gitops_policy.commands.streams import check_output, progress, say, wants_colour, write_output

if TYPE_CHECKING:
    from gitops_policy.diff.report import Comparison

FORMATS = ("text", "json", "markdown")


def add_parser(commands: Commands) -> None:
    """Add the subcommand to those of the command."""
    parser = commands.add_parser(
        "diff",
        help="show what a change does to the rendered manifests, and its new findings",
        description="Compares what two Git refs or folders render.",
        epilog="exit status: 0 no new finding; 1 a new finding at or above --fail-on; 2 misuse, "
        "or a side that cannot be read or rendered; 3 a rule crashed",
    )
    add = parser.add_argument
    add("sides", nargs="+", metavar="BASE HEAD [PATH]", help="Git refs or folders; BASE...HEAD too")
    add("--format", choices=FORMATS, default="text")
    add("--output", type=Path, metavar="FILE", help="write the report there, whole or not at all")
    add_settings(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the subcommand; returns its exit status.

    Raises ManifestError or ConfigError for misuse and for sides that do not exist.
    """
    # Imported here: no other subcommand pays for it.
    from gitops_policy.diff.comparison import between, split, status

    check_output(options.output)
    config = config_from(options, ["."])
    base, head, paths = split(options.sides)
    with progress("comparing"), _ended_tidily():
        usual = [os.path.relpath(path) for path in config.paths]
        comparison = between(base, head, paths, config, usual=usual)
    if options.output:
        write_output(_shown(comparison, options.format, colour=False) + "\n", options.output)
        say(f"{len(comparison.news.new)} new findings ({options.output})")
    else:
        print(_shown(comparison, options.format, colour=wants_colour(sys.stdout)))
    for build in comparison.unreadable:
        say(build.reason)
    return status(comparison, config.fail_on)


@contextmanager
def _ended_tidily() -> Iterator[None]:
    """Let SIGTERM end the work as an error does, so that temporary folders go."""
    before = signal.getsignal(signal.SIGTERM)
    if before is not signal.SIG_DFL or threading.current_thread() is not threading.main_thread():
        yield
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _shown(comparison: Comparison, form: str, *, colour: bool) -> str:
    from gitops_policy.diff.markdown import markdown
    from gitops_policy.diff.text import Text

    if form == "json":
        return json.dumps(comparison.as_json(), indent=2, default=str)
    return markdown(comparison) if form == "markdown" else Text(colour=colour).render(comparison)
