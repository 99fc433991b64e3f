"""Operators: each breaks one promise at every place of a render where it is made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any

from gitops_policy.diff.changes import names_of
from gitops_policy.diff.compare import stem
from gitops_policy.fields import Path, field
from gitops_policy.model import Document, Index, Resource
from gitops_policy.pods import pods
from gitops_policy.reading.build import Build


class _Gone:
    def __repr__(self) -> str:
        return "(gone)"


GONE = _Gone()

Edit = tuple[Path, Any]


@dataclass(frozen=True, slots=True)
class Mutation:
    """Edits of one object that together break one promise; a path of () stands for the object."""

    resource: Resource
    edits: tuple[Edit, ...]
    variant: str = ""


Find = Callable[[Index], Iterator[Mutation]]


@dataclass(frozen=True, slots=True)
class Operator:
    """One way to break one promise."""

    id: str
    promise: str
    find: Find


OPERATORS: dict[str, Operator] = {}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One broken promise at one place of one build."""

    operator: str
    build: str
    mutation: Mutation

    @property
    def id(self) -> str:
        """Operator, build, object and place; stable as long as those keep their names."""
        resource, path = self.mutation.resource, self.mutation.edits[0][0]
        place = "/".join(names_of(resource.content, path))
        parts = (self.operator, self.build, f"{resource.kind}/{stem(resource)}", place)
        return ":".join(part for part in (*parts, self.mutation.variant) if part)


def operator(id: str, promise: str) -> Callable[[Find], Find]:  # noqa: A002
    """Register the decorated generator function as an operator."""

    def register(find: Find) -> Find:
        if id in OPERATORS:
            raise ValueError(f"operator {id!r} is taken")
        OPERATORS[id] = Operator(id, promise, find)
        return find

    return register


Place = Callable[[Index], Iterator[tuple[Resource, Path]]]


def at(kind: str, *pattern: str | int, name: str = "") -> Place:
    """Name a field of the objects of a kind; `*` stands for every item or key."""

    def places(index: Index) -> Iterator[tuple[Resource, Path]]:
        for resource in index.of_kind(kind):
            if not name or stem(resource) == name:
                for path in _expand(resource.content, pattern):
                    yield resource, path

    return places


def in_pods(*pattern: str | int, kind: str = "") -> Place:
    """Name a field of every pod spec."""

    def places(index: Index) -> Iterator[tuple[Resource, Path]]:
        for resource in index.resources:
            for pod in pods(resource) if kind in ("", resource.kind) else ():
                for path in _expand(pod.spec, pattern):
                    yield resource, pod.at(*path)

    return places


def in_templates(*pattern: str | int, kind: str = "") -> Place:
    """Name a field of every pod template."""

    def places(index: Index) -> Iterator[tuple[Resource, Path]]:
        for resource in index.resources:
            for pod in pods(resource) if kind in ("", resource.kind) else ():
                for path in _expand(pod.template, pattern):
                    yield resource, (*pod.path, *path)

    return places


def in_containers(*pattern: str | int, group: str = "", kind: str = "") -> Place:
    """Name a field of every container, or those of one group."""

    def places(index: Index) -> Iterator[tuple[Resource, Path]]:
        groups = (group,) if group else ("initContainers", "containers")
        for one in groups:
            yield from in_pods(one, "*", *pattern, kind=kind)(index)

    return places


def outside_dev(where: Place) -> Place:
    """Leave out dev: one pod, no release by steps, and nobody who is woken up."""

    def places(index: Index) -> Iterator[tuple[Resource, Path]]:
        return ((r, path) for r, path in where(index) if not r.namespace.endswith("-dev"))

    return places


def _expand(content: Any, pattern: tuple[str | int, ...]) -> Iterator[Path]:
    """Yield the paths that a pattern fits; its last step need not exist yet."""
    paths: list[Path] = [()]
    for step in pattern:
        paths = [(*path, key) for path in paths for key in _keys(field(content, *path), step)]
    yield from paths


def _keys(value: Any, step: str | int) -> list[Any]:
    if step == "*":
        if isinstance(value, dict):
            return list(value)
        return list(range(len(value))) if isinstance(value, list) else []
    if isinstance(value, list):
        return [step] if isinstance(step, int) and step < len(value) else []
    return [step] if isinstance(value, dict) else []


def change(id: str, promise: str, where: Place, *values: Any) -> None:  # noqa: A002
    """Register an operator that sets, or removes with GONE, fields that are there.

    A function as value is called with the field's own; one that returns it leaves it alone.
    """

    @operator(id, promise)
    def find(index: Index) -> Iterator[Mutation]:
        for resource, path in where(index):
            old = field(resource.content, *path)
            if old is None:
                continue
            for number, value in enumerate(values):
                new = value(deepcopy(old)) if callable(value) else value
                if new is GONE or new != old:
                    variant = str(number + 1) if len(values) > 1 else ""
                    yield Mutation(resource, ((path, new),), variant)


def add(id: str, promise: str, where: Place, *values: Any) -> None:  # noqa: A002
    """Register an operator that sets fields that are not there."""

    @operator(id, promise)
    def find(index: Index) -> Iterator[Mutation]:
        for resource, path in where(index):
            if field(resource.content, *path) is None:
                for number, value in enumerate(values):
                    variant = str(number + 1) if len(values) > 1 else ""
                    yield Mutation(resource, ((path, value),), variant)


def append(id: str, promise: str, where: Place, *values: Any) -> None:  # noqa: A002
    """Register an operator that adds an item to lists that are there."""
    change(id, promise, where, *(_appending(value) for value in values))


def _appending(value: Any) -> Callable[[list[Any]], list[Any]]:
    return lambda items: [*items, value]


def remove(
    id: str,  # noqa: A002
    promise: str,
    kind: str,
    *names: str,
    dev: bool = True,
) -> None:
    """Register an operator that removes objects of a kind, all or those named."""

    @operator(id, promise)
    def find(index: Index) -> Iterator[Mutation]:
        for resource in index.of_kind(kind):
            if not dev and resource.namespace.endswith("-dev"):
                continue
            if not names or stem(resource) in names:
                yield Mutation(resource, (((), GONE),))


def mutants(build: Build, name: str) -> Iterator[Mutant]:
    """Yield every mutant of a build called `name`, in the order of operators and objects."""
    index = Index(build.documents, build.namespace)
    for one in OPERATORS.values():
        for mutation in one.find(index):
            yield Mutant(one.id, name, mutation)


def apply(build: Build, mutant: Mutant) -> Build:
    """Return the build with a mutant's edits; the build itself stays as it is."""
    documents = []
    for document in build.documents:
        if document.content is not mutant.mutation.resource.content:
            documents.append(document)
        elif mutant.mutation.edits[0][0]:
            content = deepcopy(document.content)
            for path, value in mutant.mutation.edits:
                _edit(content, path, value)
            documents.append(Document(content, document.origin))
    return replace(build, documents=tuple(documents))


def _edit(content: Any, path: Path, value: Any) -> None:
    parent = field(content, *path[:-1])
    if value is GONE:
        del parent[path[-1]]
    else:
        parent[path[-1]] = deepcopy(value)
