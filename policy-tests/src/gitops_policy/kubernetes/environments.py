"""The same component in other environments: production beside staging."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from gitops_policy.model import Index, Resource
from gitops_policy.reading.build import is_kustomization
from gitops_policy.world import World, once

PRODUCTION = ("production", "prod", "prd", "live")
BEFORE = ("staging", "stage", "stg", "preprod", "uat", "qa", "test", "dev", "development")
_HASH = re.compile(r"-[a-z0-9]{10}$")
_HASHED = ("ConfigMap", "Secret")

Key = tuple[str, str]


def is_production(world: World) -> bool:
    """Say whether the build is production's, by its settings or a folder of its path."""
    named = world.environment or world.build.environment
    return named in PRODUCTION if named else _segment(world) is not None


def _relative(world: World) -> tuple[str, ...]:
    path, workspace = world.build.path, world.workspace
    if path is None or workspace is None or not path.is_relative_to(workspace.root.resolve()):
        return ()
    return path.relative_to(workspace.root.resolve()).parts


def _segment(world: World) -> int | None:
    parts = _relative(world)
    return next((i for i, part in enumerate(parts) if part in PRODUCTION), None)


@once
def rehearsal(world: World) -> World | None:
    """Return the same component in the environment before production, None where there is none.

    It is found by its path: `overlays/staging/web` for `overlays/production/web`.
    """
    position, parts = _segment(world), _relative(world)
    if position is None or world.workspace is None:
        return None
    for name in BEFORE:
        path = Path(*parts[:position], name, *parts[position + 1 :])
        if is_kustomization(world.workspace.root / path):
            build = world.workspace.build(path)
            return World(build, world.config, world.workspace) if build else None
    return None


def key(resource: Resource) -> Key:
    """Return kind and name of an object, without what differs between environments."""
    name = resource.name
    if resource.group_kind in _HASHED:
        name = _HASH.sub("", name)
    words = [word for word in name.split("-") if word not in (*PRODUCTION, *BEFORE)]
    return resource.group_kind, "-".join(words)


def pairs(world: World) -> Iterator[tuple[Resource, Resource]]:
    """Yield each object of production with its counterpart in the environment before."""
    before = rehearsal(world)
    if before is None:
        return
    others = by_key(before.index)
    for resource in world.index.resources:
        if other := others.get(key(resource)):
            yield resource, other


def by_key(index: Index) -> dict[Key, Resource]:
    """Return the objects of a build by what they are called in every environment."""
    return {key(resource): resource for resource in index.resources}
