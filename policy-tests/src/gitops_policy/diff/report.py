"""The outcome of a comparison, and its JSON form."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitops_policy.diff.changes import ABSENT
from gitops_policy.diff.compare import BuildDiff, Edit, ObjectDiff, Release
from gitops_policy.diff.findings import News
from gitops_policy.findings import RuleError

VERSION = 1


@dataclass(frozen=True, slots=True)
class SideName:
    """What a side was called, and its commit if it is one."""

    name: str
    commit: str | None

    def __str__(self) -> str:
        return f"{self.name} ({self.commit[:12]})" if self.commit else self.name


@dataclass(frozen=True, slots=True)
class Radius:
    """How far a change reaches in one environment."""

    environment: str
    overlays: tuple[str, ...]
    added: int
    removed: int
    changed: int
    restarts: tuple[ObjectDiff, ...]

    @property
    def objects(self) -> int:
        """The number of objects that differ."""
        return self.added + self.removed + self.changed


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that differs between two sides; `builds` holds the overlays that differ."""

    base: SideName
    head: SideName
    compared: int
    builds: tuple[BuildDiff, ...]
    news: News
    errors: tuple[RuleError, ...] = ()

    @property
    def unreadable(self) -> tuple[BuildDiff, ...]:
        """The overlays that could not be rendered on one side at least."""
        return tuple(build for build in self.builds if build.reason)

    def radius(self) -> list[Radius]:
        """Return the reach of the change by environment, the most important one first."""
        names = sorted({b.environment for b in self.builds}, key=_importance)
        return [_radius(name, [b for b in self.builds if b.environment == name]) for name in names]

    def edits(self, category: str) -> Iterator[tuple[BuildDiff, ObjectDiff, Edit]]:
        """Yield the changed fields that are about one thing."""
        for build in self.builds:
            for item in build.objects:
                for edit in item.edits:
                    if edit.category == category:
                        yield build, item, edit

    def as_json(self) -> dict[str, Any]:
        """Return the comparison in its versioned JSON shape."""
        return {
            "version": VERSION,
            "base": _side(self.base),
            "head": _side(self.head),
            "compared": self.compared,
            "overlays": [_build(build) for build in self.builds],
            "blastRadius": [_reach(radius) for radius in self.radius()],
            "findings": {
                "new": [finding.as_json() for finding in self.news.new],
                "fixed": [finding.as_json() for finding in self.news.fixed],
                "unchanged": self.news.unchanged,
            },
            "errors": [error.as_json() for error in self.errors],
        }


_ENVIRONMENTS = ("production", "staging", "dev")


def _importance(name: str) -> tuple[int, str]:
    known = name in _ENVIRONMENTS
    return (_ENVIRONMENTS.index(name) if known else len(_ENVIRONMENTS), name)


def _radius(environment: str, builds: list[BuildDiff]) -> Radius:
    objects = [item for build in builds for item in build.objects]
    counts = {s: sum(o.status == s for o in objects) for s in ("added", "removed", "changed")}
    return Radius(
        environment,
        tuple(build.name for build in builds),
        restarts=tuple(item for item in objects if item.restarts),
        **counts,
    )


def _side(side: SideName) -> dict[str, str | None]:
    return {"name": side.name, "commit": side.commit}


def _build(build: BuildDiff) -> dict[str, Any]:
    return {
        "name": build.name,
        "path": build.path,
        "environment": build.environment,
        "status": build.status,
        "reason": build.reason or None,
        "models": [{"before": r.before or None, "after": r.after or None} for r in build.releases],
        "objects": [_object(item) for item in build.objects],
    }


def _object(item: ObjectDiff) -> dict[str, Any]:
    return {
        "resource": item.resource.id.as_json(),
        "formerName": item.former_name or None,
        "status": item.status,
        "restarts": item.restarts or None,
        "changes": [_edit(edit) for edit in item.edits],
    }


def _edit(edit: Edit) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "category": edit.category,
        "path": edit.place,
        "pointer": edit.pointer,
    }
    # No key stands for no field: a field can hold every JSON value, null included.
    if edit.before is not ABSENT:
        shown["before"] = edit.before
    if edit.after is not ABSENT:
        shown["after"] = edit.after
    return shown


def _reach(radius: Radius) -> dict[str, Any]:
    return {
        "environment": radius.environment,
        "overlays": list(radius.overlays),
        "objects": radius.objects,
        "added": radius.added,
        "removed": radius.removed,
        "changed": radius.changed,
        "restarts": [item.resource.id.as_json() for item in radius.restarts],
    }


def model_shown(release: Release) -> str:
    """Return `name 1 -> 2 (sha256 a1ceea25b438 -> 0b5f...)`."""
    before, after = release.before, release.after
    name = after.get("name") or before.get("name", "")
    if before and after and before["name"] != after["name"]:
        name = f"{before['name']} -> {after['name']}"
    version = _arrow(before.get("version", ""), after.get("version", ""))
    digest = _arrow(before.get("sha256", "")[:12], after.get("sha256", "")[:12])
    return f"{name} {version} (sha256 {digest})"


def _arrow(before: str, after: str) -> str:
    return after if before == after else f"{before or '(none)'} -> {after or '(none)'}"
