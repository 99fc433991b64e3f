"""The command `gitops-policy`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from gitops_policy import diff
from gitops_policy.catalogue import is_known_version
from gitops_policy.config import FAIL_ON, PROFILES, Config, ConfigError
from gitops_policy.findings import Report, Severity, merge
from gitops_policy.manifests import ManifestError
from gitops_policy.output import Text, as_json
from gitops_policy.runs import check

CLEAN, FINDINGS, UNREADABLE, CRASHED = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return int(options.run(options))
    except (ManifestError, ConfigError) as error:
        print(f"gitops-policy: {error}", file=sys.stderr)
        return UNREADABLE
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNREADABLE


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="gitops-policy",
        description="Checks Argo and Kustomize repositories on their rendered manifests.",
        epilog="exit status: 0 clean; 1 findings; 2 misuse or unreadable input; 3 a rule crashed",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    diff.add_parser(commands)
    lint_parser = commands.add_parser("lint", help="check overlays, folders or files")
    lint_parser.set_defaults(run=_lint)
    add = lint_parser.add_argument
    add("paths", nargs="+", metavar="PATH", help="a kustomization, a folder or file, or -")
    add("--format", choices=("text", "json"), default="text")
    add("--profile", choices=PROFILES, default="recommended")
    add("--only", action="append", default=[], metavar="RULE", help="this rule only; repeatable")
    add("--skip", action="append", default=[], metavar="RULE", help="not this rule; repeatable")
    add("--fail-on", choices=FAIL_ON, default="error", help="lowest severity that exits 1")
    add("--kubernetes-version", default="1.36", metavar="X.Y")
    add("--registry", action="append", default=[], metavar="PREFIX", help="allowed image registry")
    add("--schemas", type=Path, metavar="FOLDER", help="CRD schemas (default: .tools/schemas)")
    add("--exemptions", type=Path, metavar="FILE", help="ledger of exemptions")
    return parser


def _lint(options: argparse.Namespace) -> int:
    config = Config(
        profile=options.profile,
        only=tuple(options.only),
        skip=tuple(options.skip),
        kubernetes_version=options.kubernetes_version,
        fail_on=options.fail_on,
        registries=tuple(options.registry),
        schemas=options.schemas,
        exemptions=options.exemptions,
    )
    if not is_known_version(config.kubernetes_version):
        raise ConfigError(f"no schemas of Kubernetes {config.kubernetes_version!r}")
    reports, failures = check(options.paths, config)
    if options.format == "json":
        print(as_json(reports))
    elif reports:
        print(Text(colour=_wants_colour()).render(reports))
    for failure in failures:
        print(f"gitops-policy: {failure}", file=sys.stderr)
    return _status(merge(reports.values()), config, failures)


def _wants_colour() -> bool:
    return sys.stdout.isatty() and not os.environ.get("NO_COLOR")


def _status(report: Report, config: Config, failures: list[ManifestError]) -> int:
    if failures:
        return UNREADABLE
    if report.errors:
        return CRASHED
    if config.fail_on == "never":
        return CLEAN
    return FINDINGS if report.at_least(Severity[config.fail_on]) else CLEAN


if __name__ == "__main__":
    sys.exit(main())
