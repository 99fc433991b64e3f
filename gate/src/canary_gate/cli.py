"""The command `canary-gate`."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from canary_gate.check import check_template
from canary_gate.edges import Edges, read_edges
from canary_gate.errors import RefusedError
from canary_gate.template import KINDS, read_template


class _InputError(Exception):
    """A file that cannot be read; the message names it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; exit status 0 clean, 1 a problem, 2 input that cannot be read."""
    parser = argparse.ArgumentParser(prog="canary-gate", description=__doc__)
    commands = parser.add_subparsers(required=True, dest="command")
    check = commands.add_parser(
        "check", help="find unguarded, incomplete or unrunnable AnalysisTemplates"
    )
    check.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="YAML file or folder")
    check.add_argument(
        "--metrics",
        type=Path,
        metavar="FILE",
        help="contract of the service's metrics: hold the bucket edges that a query names to it",
    )
    _report_options(
        commands.add_parser(
            "report", help="simulate releases through the default ladder, and write how it judged"
        )
    )
    options = parser.parse_args(arguments)
    try:
        if options.command == "report":
            return _report(options)
        edges = None if options.metrics is None else _edges(options.metrics)
        return _check(options.paths, edges)
    except _InputError as error:
        sys.stderr.write(f"canary-gate: {error}\n")
        return 2


def _report_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--rollouts", type=Path, default=Path("rollouts"), metavar="FOLDER")
    add("--page", type=Path, default=Path("docs/gate.md"), metavar="FILE")
    add("--output", type=Path, default=Path("build/gate"), metavar="FOLDER")
    add("--prometheus", type=Path, default=Path(".tools/bin/prometheus"), metavar="FILE")
    add("--releases", type=int, default=10_000, metavar="N", help="of each kind")
    add("--alone", type=int, default=100_000, metavar="N", help="bad ones at a single step")
    add("--seed", type=int, default=1, metavar="N")
    add("--processes", type=int, default=os.cpu_count() or 1, metavar="N")


def _report(options: argparse.Namespace) -> int:
    try:
        from canary_gate.report import command
        from canary_gate.simulation.server import ServerError
    except ModuleNotFoundError as error:
        raise _InputError(f"no {error.name}: install canary-gate[report]") from None
    if not (options.rollouts / "ladders").is_dir():
        raise _InputError(f"{options.rollouts}: no folder with ladders/ and templates/")
    try:
        return command.run(options)
    except ServerError as error:
        raise _InputError(str(error)) from None


def _edges(file: Path) -> Edges:
    try:
        (document,) = _documents(file) or [None]
        return read_edges(document)
    except (RefusedError, TypeError, ValueError) as error:
        raise _InputError(f"{file}: {error}") from None


def _check(paths: Sequence[Path], edges: Edges | None) -> int:
    checked, problems = 0, 0
    for path, document in _templates(paths):
        checked += 1
        try:
            found: Sequence[object] = check_template(read_template(document), edges)
        except RefusedError as error:
            found = [error]
        problems += len(found)
        for problem in found:
            sys.stdout.write(f"{path}: {problem}\n")
    if not checked:
        raise _InputError(f"no AnalysisTemplate in {', '.join(map(str, paths))}")
    sys.stdout.write(f"{checked} templates checked, {problems} problems\n")
    return 1 if problems else 0


def _templates(paths: Sequence[Path]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path in paths:
        files = sorted([*path.rglob("*.yaml"), *path.rglob("*.yml")]) if path.is_dir() else [path]
        for file in files:
            for document in _documents(file):
                if isinstance(document, dict) and document.get("kind") in KINDS:
                    yield file, document


def _documents(file: Path) -> list[Any]:
    try:
        return list(yaml.safe_load_all(file.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError) as error:
        raise _InputError(f"{file}: {error}") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = f":{mark.line + 1}" if mark else ""
        reason = getattr(error, "problem", None) or error
        raise _InputError(f"{file}{line}: {reason}") from None
