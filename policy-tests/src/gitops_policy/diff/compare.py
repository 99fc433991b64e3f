"""Two renders of one overlay, object by object."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from gitops_policy.diff.changes import Change, changes
from gitops_policy.diff.meaning import category, is_release, model_of, restart
from gitops_policy.diff.secrets import redacted
from gitops_policy.model import Index, Resource
from gitops_policy.reading.build import Build

# The alphabet of the hash that kustomize appends to a generated name.
_HASHED = re.compile(r"(?P<stem>.+)-[bcdfghkmt2456789]{10}")
_GENERATED = frozenset({"ConfigMap", "Secret"})

Key = tuple[str, str, str]


@dataclass(frozen=True, slots=True)
class Edit:
    """One changed field as it may be shown: what it is about, where, and its two values."""

    category: str
    place: str
    pointer: str
    before: Any
    after: Any


@dataclass(frozen=True, slots=True)
class ObjectDiff:
    """One object that was added, removed or changed, and how its pods restart, if they do."""

    resource: Resource
    status: str
    restarts: str = ""
    edits: tuple[Edit, ...] = ()
    former_name: str = ""

    @property
    def shown(self) -> str:
        """Kind, namespace and name, without the hash of a generated name."""
        identity = self.resource.id
        place = f"{identity.namespace}/" if identity.namespace else ""
        return f"{identity.kind} {place}{stem(self.resource)}"


@dataclass(frozen=True, slots=True)
class Release:
    """A model that another one follows; `before` or `after` is empty for none."""

    before: dict[str, str]
    after: dict[str, str]


@dataclass(frozen=True, slots=True)
class BuildDiff:
    """What differs in one overlay; `reason` says which side could not be rendered and why."""

    name: str
    path: str
    environment: str
    status: str
    objects: tuple[ObjectDiff, ...] = ()
    releases: tuple[Release, ...] = ()
    reason: str = ""


def stem(resource: Resource) -> str:
    """Return the name of an object without the hash of a generated one."""
    match = _HASHED.fullmatch(resource.name) if resource.kind in _GENERATED else None
    return match["stem"] if match else resource.name


def compare(before: Build | None, after: Build | None) -> tuple[ObjectDiff, ...]:
    """Return the objects that differ between two renders; None stands for no overlay."""
    old, new = _resources(before), _resources(after)
    matched = list(_matched(old, new))
    renamed = {a.name: b.name for a, b in matched if a and b and a.name != b.name}
    found = [_object(a, b, renamed) for a, b in matched]
    return tuple(sorted((o for o in found if o), key=lambda o: str(o.resource.id)))


def _resources(build: Build | None) -> list[Resource]:
    return Index(build.documents, build.namespace).resources if build else []


def _matched(
    old: list[Resource], new: list[Resource]
) -> Iterator[tuple[Resource | None, Resource | None]]:
    """Pair objects by identity, then generated ones by the name that their hash follows."""
    left, right = _by_key(old), _by_key(new)
    for key in left.keys() & right.keys():
        yield from zip_longest(left.pop(key), right.pop(key))
    stems = _by_stem(right)
    for key, resources in left.items():
        for resource in resources:
            partners = stems.get((key[0], key[1], stem(resource)), [])
            yield resource, partners.pop(0) if partners else None
    for resources in stems.values():
        yield from ((None, resource) for resource in resources)


def _by_key(resources: Iterable[Resource]) -> dict[Key, list[Resource]]:
    found: dict[Key, list[Resource]] = defaultdict(list)
    for resource in resources:
        found[resource.group_kind, resource.namespace, resource.name].append(resource)
    return found


def _by_stem(left_over: dict[Key, list[Resource]]) -> dict[Key, list[Resource]]:
    found: dict[Key, list[Resource]] = defaultdict(list)
    for (kind, namespace, _), resources in left_over.items():
        for resource in resources:
            found[kind, namespace, stem(resource)].append(resource)
    return found


def _object(
    before: Resource | None, after: Resource | None, renamed: dict[str, str]
) -> ObjectDiff | None:
    if after is None:
        return ObjectDiff(before, "removed") if before else None
    if before is None:
        return ObjectDiff(after, "added")
    found = changes(before.content, after.content, renamed)
    loud = [change for change in found if not change.quiet]
    same_name = before.name == after.name
    if not same_name:
        loud = [change for change in loud if change.path != ("metadata", "name")]
    effect = restart(after, found)
    if not loud and not effect:
        return None
    edits = tuple(_edit(change, before, after) for change in loud)
    return ObjectDiff(after, "changed", effect, edits, "" if same_name else before.name)


def _edit(change: Change, before: Resource, after: Resource) -> Edit:
    return Edit(
        category(after, change.path),
        change.place,
        change.pointer,
        redacted(change.before, before.content, change.former),
        redacted(change.after, after.content, change.path),
    )


def releases(before: Build | None, after: Build | None) -> tuple[Release, ...]:
    """Return the models that differ between two renders, by the ConfigMap that names them."""
    old = {(r.namespace, stem(r)): model_of(r) for r in _resources(before) if _names_model(r)}
    new = {(r.namespace, stem(r)): model_of(r) for r in _resources(after) if _names_model(r)}
    keys = sorted(old.keys() | new.keys())
    return tuple(
        Release(old.get(key, {}), new.get(key, {})) for key in keys if old.get(key) != new.get(key)
    )


def _names_model(resource: Resource) -> bool:
    return resource.kind == "ConfigMap" and is_release(resource)
