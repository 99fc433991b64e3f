"""The subcommand `gitops-policy diff`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from gitops_policy.build import Build
from gitops_policy.catalogue import is_known_version, schema_folder
from gitops_policy.config import FAIL_ON, PROFILES, Config, ConfigError
from gitops_policy.diff.compare import BuildDiff, compare, releases
from gitops_policy.diff.findings import flat, news
from gitops_policy.diff.renders import Rendered, Renders, absent, explain, render_side
from gitops_policy.diff.report import Comparison, SideName
from gitops_policy.diff.trees import Side, SideError, merge_base, side
from gitops_policy.findings import Severity

if TYPE_CHECKING:
    # argparse names the class of what add_subparsers returns privately.
    Commands = argparse._SubParsersAction[argparse.ArgumentParser]

CLEAN, FINDINGS, UNREADABLE, CRASHED = 0, 1, 2, 3
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
    add("--output", type=Path, metavar="FILE", help="write the report there")
    add("--profile", choices=PROFILES, default="recommended")
    add("--only", action="append", default=[], metavar="RULE", help="this rule only; repeatable")
    add("--skip", action="append", default=[], metavar="RULE", help="not this rule; repeatable")
    add("--fail-on", choices=FAIL_ON, default="error", help="lowest new severity that exits 1")
    add("--kubernetes-version", default="1.36", metavar="X.Y")
    add("--registry", action="append", default=[], metavar="PREFIX", help="allowed image registry")
    add("--schemas", type=Path, metavar="FOLDER", help="CRD schemas (default: .tools/schemas)")
    add("--exemptions", type=Path, metavar="FILE", help="ledger of exemptions")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Run the subcommand; returns its exit status.

    Raises ManifestError or ConfigError for misuse and for sides that do not exist.
    """
    config = _config(options)
    base, head, paths = split(options.sides)
    comparison = between(base, head, paths, config)
    _write(_shown(comparison, options), options.output)
    for build in comparison.unreadable:
        print(f"gitops-policy: {build.reason}", file=sys.stderr)
    return status(comparison, config)


def _config(options: argparse.Namespace) -> Config:
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
    return config


def split(words: list[str]) -> tuple[str, str, list[str]]:
    """Return base, head and paths of `BASE HEAD [PATH...]` or `BASE...HEAD [PATH...]`.

    Three dots compare with the commit where the head left the base, two dots with the base itself.
    """
    first = words[0]
    for dots in ("...", ".."):
        base, found, head = first.partition(dots)
        if found and not Path(first).is_dir() and "/" not in (base[-1:], head[:1]):
            base, head = base or "HEAD", head or "HEAD"
            return (merge_base(base, head) if dots == "..." else base), head, words[1:]
    if len(words) == 1:
        raise SideError(f"{first!r} alone: name a base and a head")
    return first, words[1], words[2:]


def between(base: str, head: str, paths: list[str], config: Config) -> Comparison:
    """Compare what two Git refs or folders render under `paths`, everything if there are none.

    Raises SideError for a side or a path that does not exist.
    """
    with ExitStack() as stack:
        before, after = (stack.enter_context(side(name)) for name in (base, head))
        wanted = paths or ["."]
        missing = absent(wanted, (before, after))
        if missing:
            raise explain(missing, (before, after))
        folder = config.schemas or schema_folder(after.repository, before.repository)
        shared = replace(config, schemas=folder)
        sides = [render_side(one, wanted, shared) for one in (before, after)]
        return compared(*sides)


def compared(before: Renders, after: Renders) -> Comparison:
    """Compare two sides that were rendered."""
    keys = sorted(before.builds.keys() | after.builds.keys())
    if not keys:
        raise SideError("no manifests and no kustomizations to compare")
    both = [(key, before.builds.get(key), after.builds.get(key)) for key in keys]
    found = [_build(key, old, new) for key, old, new in both]
    return Comparison(
        _name(before.side),
        _name(after.side),
        len(keys),
        tuple(build for build in found if build),
        flat(news(old, new) for _, old, new in both),
        tuple(e for _, *pair in both for one in pair if one for e in one.report.errors),
    )


def _name(one: Side) -> SideName:
    return SideName(one.name, one.commit)


def _build(key: str, old: Rendered | None, new: Rendered | None) -> BuildDiff | None:
    reason = "; ".join(
        f"{label}: {one.reason}"
        for label, one in (("base", old), ("head", new))
        if one and one.reason and not one.report.findings
    )
    before, after = (one.build if one else None for one in (old, new))
    changed = () if _unread(old) or _unread(new) else compare(before, after)
    status_of = "added" if old is None else "removed" if new is None else "changed"
    if not changed and not reason and status_of == "changed" and not (_unread(old) or _unread(new)):
        return None
    known = after or before
    return BuildDiff(
        known.name if known and known.environment else key,
        key,
        _environment(known, key),
        status_of,
        changed,
        releases(before, after) if before and after else (),
        reason,
    )


def _unread(one: Rendered | None) -> bool:
    return one is not None and one.build is None


def _environment(build: Build | None, key: str) -> str:
    return (build.environment if build else None) or key


def _shown(comparison: Comparison, options: argparse.Namespace) -> str:
    if options.format == "json":
        return json.dumps(comparison.as_json(), indent=2, default=str)
    # Imported here: each start of the command would pay for both.
    if options.format == "markdown":
        from gitops_policy.diff.markdown import markdown

        return markdown(comparison)
    from gitops_policy.diff.text import Text

    colour = options.output is None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return Text(colour=colour).render(comparison)


def _write(report: str, file: Path | None) -> None:
    if file is None:
        print(report)
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(report + "\n", encoding="utf-8")
    except OSError as error:
        raise SideError(f"cannot be written: {error.strerror}", str(file)) from None


def status(comparison: Comparison, config: Config) -> int:
    """Return the exit status: only new findings count."""
    if comparison.unreadable:
        return UNREADABLE
    if comparison.errors:
        return CRASHED
    if config.fail_on == "never":
        return CLEAN
    lowest = Severity[config.fail_on]
    worst = [f for f in comparison.news.new if f.severity >= lowest]
    return FINDINGS if worst else CLEAN
