"""The command `gitops-policy`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from gitops_policy.build import (
    Build,
    build_files,
    build_many,
    build_sources,
    is_kustomization,
    repository,
)
from gitops_policy.catalogue import is_known_version
from gitops_policy.config import FAIL_ON, PROFILES, Config, ConfigError
from gitops_policy.discovery import contents
from gitops_policy.engine import lint
from gitops_policy.findings import Report, Severity, merge
from gitops_policy.kustomization import RenderError, shown
from gitops_policy.manifests import ManifestError, read_text
from gitops_policy.output import Text, as_json
from gitops_policy.registry import rules
from gitops_policy.world import Workspace

CLEAN, FINDINGS, UNREADABLE, CRASHED = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit status."""
    options = _parser().parse_args(arguments)
    try:
        return _lint(options)
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
    lint_parser = commands.add_parser("lint", help="check overlays, folders or files")
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


def check(paths: Iterable[str], config: Config) -> tuple[dict[str, Report], list[ManifestError]]:
    """Lint everything under `paths`; returns a report per build and what could not be read."""
    reports: dict[str, Report] = {}
    failures: list[ManifestError] = []
    workspaces: dict[Path, Workspace] = {}
    for build, root in _builds(paths):
        if isinstance(build, ManifestError):
            broken = _release_file(build, config)
            reports.update(broken)
            failures += [] if broken else [build]
            continue
        workspace = workspaces.setdefault(root, Workspace(root))
        workspace.add(build)
        name = str(build.path) if build.name in reports else build.name
        reports[name] = lint(build, config, workspace=workspace)
    return reports, failures


def _release_file(error: ManifestError, config: Config) -> dict[str, Report]:
    """Return the findings in the release file of what could not be rendered, if there are any."""
    build = error.unrendered if isinstance(error, RenderError) else None
    if build is None or not any(r.id == "release-env" for r in config.selected(rules())):
        return {}
    report = lint(build, replace(config, only=("release-env",), skip=()))
    return {build.name: report} if report.findings else {}


def _builds(paths: Iterable[str]) -> Iterator[tuple[Build | ManifestError, Path]]:
    plain: list[tuple[str, list[Path]]] = []
    folders: list[Path] = []
    for name in paths:
        path = Path(name)
        if name == "-":
            yield _standard_input(), Path.cwd()
        elif is_kustomization(path):
            folders.append(path)
        elif path.is_dir():
            found = contents(path)
            folders += found.kustomizations
            if not found.kustomizations and not found.files:
                yield ManifestError("no manifests in this folder", shown(path)), path
            elif found.files:
                plain.append((name, found.files))
        else:
            plain.append((name, [path]))
    for folder, build in zip(folders, build_many(folders), strict=True):
        yield build, repository(folder)
    for name, files in plain:
        yield _files(name, files), repository(Path(name))


def _files(name: str, files: list[Path]) -> Build | ManifestError:
    try:
        return build_files(files, name)
    except ManifestError as error:
        return error


def _standard_input() -> Build | ManifestError:
    try:
        return build_sources(read_text(sys.stdin.buffer.read(), "(standard input)"), "-")
    except ManifestError as error:
        return error


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
