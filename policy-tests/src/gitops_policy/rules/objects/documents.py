"""The render as a whole: objects, each once, and at least one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from gitops_policy.findings import Origin, Severity
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import BUILD, EVERY, rule
from gitops_policy.world import World, once

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
    """Group, kind, namespace and name are unique; folders of plain manifests are apart.

    Two files of a folder that share objects may be alternatives: one warning for the pair.
    """
    first = world.index.get(resource.group_kind, resource.namespace, resource.name)
    if first is None or first is resource or not resource.name:
        return
    place = f" at {first.origin}" if first.origin and first.origin.line else " in this render"
    message = f"{resource.id} also stands{place}"
    if not world.apart(first, resource):
        yield resource.problem(("metadata", "name"), message, "remove one")
        return
    shared = _shared(world).get(_files(first, resource), [])
    if shared and shared[0] is resource:
        more = f", and {len(shared) - 1} more of this file in that one" if shared[1:] else ""
        yield resource.problem(
            ("metadata", "name"),
            message + more,
            "remove one; lint files that are alternatives one by one",
            severity=Severity.warning,
        )


@once
def _shared(world: World) -> dict[tuple[str, ...], list[Resource]]:
    """Return what stands in two files of one folder, by the files."""
    found: dict[tuple[str, ...], list[Resource]] = {}
    for resource in world.index.resources:
        first = world.index.get(resource.group_kind, resource.namespace, resource.name)
        if first is None or first is resource or not resource.name:
            continue
        files = _files(first, resource)
        if len({Path(file).parent for file in files}) == 1:
            found.setdefault(files, []).append(resource)
    return found


def _files(*resources: Resource) -> tuple[str, ...]:
    return tuple(r.origin.file or "" if r.origin else "" for r in resources)
