"""The render as a whole: objects, each once, and at least one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gitops_policy.findings import Origin
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import BUILD, EVERY, rule
from gitops_policy.world import World

_OBJECTS = "https://kubernetes.io/docs/concepts/overview/working-with-objects/"


@rule(
    id="empty-render",
    title="An overlay renders something",
    severity="error",
    rationale="Argo CD shows an application without objects as Synced and Healthy.",
    references=["https://argo-cd.readthedocs.io/en/stable/user-guide/auto_sync/"],
    kinds=BUILD,
)
def empty_render(world: World) -> Iterator[Problem]:
    """The render holds at least one object."""
    if not world.index.resources:
        yield Problem(None, (), "the render is empty", "add resources, or delete the overlay")


@rule(
    id="file-holds-objects",
    title="Every YAML or JSON file of a linted folder holds objects",
    severity="info",
    rationale="A file that holds none is not checked: a manifest without head would go unseen.",
    references=[_OBJECTS],
    kinds=BUILD,
)
def file_holds_objects(world: World) -> Iterator[Problem]:
    """Files without apiVersion, kind and metadata are named, not passed over in silence."""
    for file in world.build.foreign:
        origin = Origin(world.build.name or None, file)
        fix = "lint the folders of manifests only, or set `paths` in the configuration"
        yield Problem(None, (), "holds no Kubernetes object: not checked", fix, origin=origin)


@rule(
    id="object-identity",
    title="Every document is an object with apiVersion, kind and name",
    severity="error",
    rationale="Anything else is refused, or not looked at by any check.",
    references=[_OBJECTS],
    kinds=BUILD,
)
def object_identity(world: World) -> Iterator[Problem]:
    """Documents are mappings; objects have apiVersion, kind and metadata.name."""
    for number, document in enumerate(world.build.documents, start=1):
        if not isinstance(document.content, dict):
            message = f"document {number} is {type(document.content).__name__}, not an object"
            yield Problem(None, (), message, "remove it", origin=document.origin)
    for resource in world.index.resources:
        for path, value in (
            (("apiVersion",), resource.api_version),
            (("kind",), resource.kind),
            (("metadata", "name"), resource.name),
        ):
            if not value:
                yield resource.problem(path, f"{'.'.join(path)} is missing", "add it")


@rule(
    id="duplicate-object",
    title="No object stands twice in a render",
    severity="error",
    rationale="The last one applied wins, and which that is nobody can see.",
    references=[_OBJECTS],
    kinds=EVERY,
)
def duplicate_object(resource: Resource, world: World) -> Iterator[Problem]:
    """Group, kind, namespace and name are unique; folders of plain manifests are apart."""
    first = world.index.get(resource.group_kind, resource.namespace, resource.name)
    if first is None or first is resource or not resource.name or _apart(first, resource):
        return
    place = f" at {first.origin}" if first.origin and first.origin.line else " in this render"
    yield resource.problem(("metadata", "name"), f"{resource.id} also stands{place}", "remove one")


def _apart(first: Resource, second: Resource) -> bool:
    """Say whether two files stand in different folders, which are applied one by one."""
    files = [r.origin.file for r in (first, second) if r.origin and r.origin.line and r.origin.file]
    return len({Path(file).parent for file in files}) == 2
