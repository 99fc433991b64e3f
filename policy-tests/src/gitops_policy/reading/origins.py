"""Where in Git a rendered field comes from: patch, image entry, object or generator."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import Path, entries, pointer, sequence, text
from gitops_policy.findings import Origin
from gitops_policy.model import Resource
from gitops_policy.notations.image_names import image_name
from gitops_policy.reading.build import Build
from gitops_policy.reading.kustomization import Kustomization
from gitops_policy.reading.manifests import ManifestError, Source, read_text

_HASHED = re.compile(r"(.+)-[a-z0-9]{10}")


def origin_of(build: Build, resource: Resource | None, path: Path) -> Origin | None:
    """Return the file and line that a person edits to change a field of a rendered object."""
    if resource is None:
        return _of_build(build)
    if build.path is None:
        return _declared(build, resource, path) or resource.origin
    for find in (_patched, _image, _declared, _generated):
        origin = find(build, resource, path)
        if origin:
            return origin
    return _of_build(build) or resource.origin


def _of_build(build: Build) -> Origin | None:
    """Return the kustomization itself, for what no line of a file declares."""
    file = next((k.source.file for k in build.tree.kustomizations), None)
    return Origin(build.name or None, file) if build.name or file else None


def _declared(build: Build, resource: Resource, path: Path) -> Origin | None:
    key = (resource.api_version, resource.kind, resource.name)
    for source in build.declared.get(key, ()):
        if text(source.content, "metadata", "namespace") in ("", resource.namespace):
            return Origin(build.name or None, source.file, source.line(path))
    return None


def _patched(build: Build, resource: Resource, path: Path) -> Origin | None:
    wanted = pointer(path) + "/"
    for kustomization in build.tree.kustomizations:
        source = kustomization.source
        for i, patch in entries(source.content, "patches"):
            if _targets(patch, resource):
                for where, line, operation in _operations(build, kustomization, patch):
                    place = text(operation, "path")
                    if place and wanted.startswith(place + "/"):
                        line = line or source.line(("patches", i))
                        return Origin(build.name or None, where, line)
    return None


def _targets(patch: dict[str, object], resource: Resource) -> bool:
    kind, name = text(patch, "target", "kind"), text(patch, "target", "name")
    return bool(kind or name) and kind in ("", resource.kind) and name in ("", resource.name)


def _operations(
    build: Build, kustomization: Kustomization, patch: dict[str, object]
) -> Iterator[tuple[str, int | None, object]]:
    """Yield the JSON patch operations of an entry with file and, in a file of its own, line."""
    inline = text(patch, "patch")
    if inline:
        for source in _parsed(inline):
            for operation in sequence(source.content):
                yield kustomization.source.file, None, operation
        return
    path = (kustomization.folder / text(patch, "path")).resolve()
    for source in build.tree.by_path.get(path, ()):
        for i, operation in enumerate(sequence(source.content)):
            yield source.file, source.line((i,)), operation


def _parsed(patch: str) -> list[Source]:
    try:
        return read_text(patch, "patch")
    except ManifestError:
        return []


def _image(build: Build, resource: Resource, path: Path) -> Origin | None:
    if not path or path[-1] != "image":
        return None
    repository = image_name(text(resource.content, *path)).repository
    for kustomization in build.tree.kustomizations:
        source = kustomization.source
        for i, entry in entries(source.content, "images"):
            name = text(entry, "newName") or text(entry, "name")
            if image_name(name).repository == repository:
                return Origin(build.name or None, source.file, source.line(("images", i)))
    return None


def _generated(build: Build, resource: Resource, path: Path) -> Origin | None:
    del path  # a generated object has no line of its own for a field
    match = _HASHED.fullmatch(resource.name)
    names = {resource.name, match.group(1)} if match else {resource.name}
    key = {"ConfigMap": "configMapGenerator", "Secret": "secretGenerator"}.get(resource.kind, "")
    for kustomization in build.tree.kustomizations:
        source = kustomization.source
        for position, entry in entries(source.content, key):
            if text(entry, "name") in names:
                return Origin(build.name or None, source.file, source.line((key, position)))
    return None
