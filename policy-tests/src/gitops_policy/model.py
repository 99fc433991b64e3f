"""The typed index of rendered objects: by kind, namespace, name and labels."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from gitops_policy.apis.kinds import is_cluster_scoped
from gitops_policy.fields import Path, mapping, pointer, sequence, text
from gitops_policy.findings import Origin, ResourceId, Severity

Manifest = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Document:
    """One rendered object with the place it came from."""

    content: Any
    origin: Origin | None = None


@dataclass(frozen=True, slots=True)
class Problem:
    """What a rule yields: the place in an object, what is wrong there and what to do.

    `severity` overrides the rule's own, `origin` is set where a file is to blame directly;
    `certain`: it stands whatever else is applied beside the build.
    """

    resource: Resource | None
    path: Path
    message: str
    fix: str = ""
    severity: Severity | None = None
    origin: Origin | None = None
    container: str = ""
    certain: bool = False

    def regardless(self) -> Problem:
        """Return the problem as one that no object outside of the build can heal."""
        return replace(self, certain=True)

    @property
    def pointer(self) -> str:
        """The place as a JSON pointer."""
        return pointer(self.path)


class Resource:
    """One Kubernetes object of a build.

    `group_kind` is `group/Kind`, or `Kind` alone for the core group.
    """

    def __init__(self, content: Manifest, namespace: str, origin: Origin | None = None) -> None:
        self.content = content
        self.origin = origin
        self.api_version = text(content, "apiVersion")
        self.group, _, self.version = self.api_version.rpartition("/")
        self.kind = text(content, "kind")
        metadata = mapping(content, "metadata")
        self.name = text(metadata, "name") or text(metadata, "generateName")
        scoped = is_cluster_scoped(self.group, self.kind)
        self.namespace = "" if scoped else text(metadata, "namespace") or namespace
        self.group_kind = f"{self.group}/{self.kind}" if self.group else self.kind

    @property
    def id(self) -> ResourceId:
        """The identity that findings show."""
        return ResourceId(self.api_version, self.kind, self.namespace, self.name)

    @property
    def spec(self) -> Manifest:
        """The object's spec; empty when missing."""
        return mapping(self.content, "spec")

    @property
    def labels(self) -> Manifest:
        """The object's own labels."""
        return mapping(self.content, "metadata", "labels")

    @property
    def annotations(self) -> Manifest:
        """The object's own annotations."""
        return mapping(self.content, "metadata", "annotations")

    def problem(
        self, path: Path, message: str, fix: str = "", *, severity: Severity | None = None
    ) -> Problem:
        """Describe what is wrong at `path` of this object."""
        return Problem(self, path, message, fix, severity)

    def __repr__(self) -> str:
        return f"<{self.id}>"


class Index:
    """All objects of one build, found by what other objects say about them."""

    def __init__(self, documents: Iterable[Document], namespace: str = "default") -> None:
        self.default_namespace = namespace
        self.resources: list[Resource] = [
            Resource(content, namespace, document.origin)
            for document in documents
            for content in _objects(document.content)
        ]

    @cached_property
    def _by_kind(self) -> dict[str, list[Resource]]:
        found: dict[str, list[Resource]] = defaultdict(list)
        for resource in self.resources:
            found[resource.group_kind].append(resource)
        return found

    @cached_property
    def _by_name(self) -> dict[tuple[str, str, str], Resource]:
        return {(r.group_kind, r.namespace, r.name): r for r in reversed(self.resources)}

    def of_kind(self, *group_kinds: str) -> list[Resource]:
        """Return the objects of these kinds (`apps/Deployment`, `Service`)."""
        return [r for name in group_kinds for r in self._by_kind.get(name, ())]

    @cached_property
    def _by_place(self) -> dict[tuple[str, str], list[Resource]]:
        found: dict[tuple[str, str], list[Resource]] = defaultdict(list)
        for resource in self.resources:
            found[resource.group_kind, resource.namespace].append(resource)
        return found

    def in_namespace(self, namespace: str, *group_kinds: str) -> list[Resource]:
        """Return the objects of these kinds in one namespace (empty for cluster-scoped kinds)."""
        return [r for name in group_kinds for r in self._by_place.get((name, namespace), ())]

    def get(
        self, group_kind: str, namespace: str, name: str, *, near: Resource | None = None
    ) -> Resource | None:
        """Return the object with this kind, namespace (empty if cluster-scoped) and name.

        Of several the first, or the one in the file or else the folder of `near`.
        """
        found = self._by_name.get((group_kind, namespace, name))
        if found is None or near is None:
            return found
        others = self._again.get((group_kind, namespace, name), ())
        nearest: Resource = min((found, *others), key=lambda other: _distance(other, near))
        return nearest

    @cached_property
    def _again(self) -> dict[tuple[str, str, str], list[Resource]]:
        found: dict[tuple[str, str, str], list[Resource]] = {}
        for resource in self.resources:
            key = (resource.group_kind, resource.namespace, resource.name)
            if self._by_name[key] is not resource:
                found.setdefault(key, []).append(resource)
        return found


def _distance(one: Resource, other: Resource) -> int:
    files = [r.origin.file or "" if r.origin else "" for r in (one, other)]
    return len(set(files)) + len({file.rpartition("/")[0] for file in files})


def _objects(content: object) -> Iterator[Manifest]:
    """Yield the object itself, or what a `kind: List` holds."""
    if not isinstance(content, dict):
        return
    if text(content, "kind").endswith("List") and "items" in content:
        for item in sequence(content, "items"):
            yield from _objects(item)
    else:
        yield content
