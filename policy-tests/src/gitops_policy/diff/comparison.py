"""Comparing two sides: which overlays there are, what differs, and how it ends."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from gitops_policy.apis.catalogue import schema_folder
from gitops_policy.config import Config
from gitops_policy.diff.compare import BuildDiff, compare, releases
from gitops_policy.diff.findings import flat, news
from gitops_policy.diff.renders import Rendered, Renders, absent, explain, render_side
from gitops_policy.diff.report import Comparison, SideName
from gitops_policy.diff.trees import Side, SideError, merge_base, side
from gitops_policy.exits import CLEAN, CRASHED, FINDINGS, UNREADABLE
from gitops_policy.findings import Severity
from gitops_policy.reading.build import Build


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


def between(
    base: str, head: str, paths: list[str], config: Config, *, usual: list[str] | None = None
) -> Comparison:
    """Compare what two Git refs or folders render under `paths`.

    Without any, under those of the `usual` ones that a side has, or under everything. Raises
    SideError for a side or a path that does not exist.
    """
    with ExitStack() as stack:
        before, after = (stack.enter_context(side(name)) for name in (base, head))
        missing = absent(paths, (before, after))
        if missing:
            raise explain(missing, (before, after))
        unusual = absent(usual or [], (before, after))
        wanted = paths or [path for path in usual or [] if path not in unusual] or ["."]
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
        if one and one.reason and (one.build or not one.report.findings)
    )
    before, after = (one.build if one else None for one in (old, new))
    changed = () if _unread(old) or _unread(new) else compare(before, after)
    status_of = "added" if old is None else "removed" if new is None else "changed"
    if not changed and not reason and status_of == "changed" and not (_unread(old) or _unread(new)):
        return None
    name, environment = _named(after or before, key)
    return BuildDiff(
        name,
        key,
        environment,
        status_of,
        changed,
        releases(before, after) if before and after else (),
        reason,
    )


def _unread(one: Rendered | None) -> bool:
    return one is not None and one.build is None


def _named(build: Build | None, key: str) -> tuple[str, str]:
    """Return what an overlay is called, and its environment; a folder without one is its own."""
    if build and build.environment:
        return build.name, build.environment
    parts = Path(key).parts
    if len(parts) > 2 and parts[-3] == "overlays":
        return "/".join(parts[-2:]), parts[-2]
    return key, key


def status(comparison: Comparison, fail_on: str) -> int:
    """Return the exit status: only new findings count."""
    if comparison.unreadable:
        return UNREADABLE
    if comparison.errors:
        return CRASHED
    if fail_on == "never":
        return CLEAN
    worst = [f for f in comparison.news.new if f.severity >= Severity[fail_on]]
    return FINDINGS if worst else CLEAN
