"""Where in Git a rendered field comes from."""

from __future__ import annotations

import re

from gitops_policy.build import Build
from gitops_policy.fields import Path, entries, text
from gitops_policy.findings import Origin
from gitops_policy.manifests import Source
from gitops_policy.model import Resource

_HASHED = re.compile(r"(.+)-[a-z0-9]{10}")


def origin_of(build: Build, resource: Resource | None, path: Path) -> Origin | None:
    """Return the file and line to edit: the object's own file, or the generator that made it."""
    overlay = build.name or None
    if resource is None:
        return Origin(overlay) if overlay else None
    for source in build.tree.sources:
        if _declares(source, resource):
            return Origin(overlay, source.file, source.line(path))
    return _generator(build, resource) or resource.origin


def _declares(source: Source, resource: Resource) -> bool:
    content = source.content
    return (
        text(content, "kind") == resource.kind
        and text(content, "metadata", "name") == resource.name
        and text(content, "apiVersion").rpartition("/")[0] == resource.group
    )


def _generator(build: Build, resource: Resource) -> Origin | None:
    match = _HASHED.fullmatch(resource.name)
    names = {resource.name, match.group(1)} if match else {resource.name}
    key = {"ConfigMap": "configMapGenerator", "Secret": "secretGenerator"}.get(resource.kind, "")
    for kustomization in build.tree.kustomizations:
        source = kustomization.source
        for position, entry in entries(source.content, key):
            if text(entry, "name") in names:
                return Origin(build.name or None, source.file, source.line((key, position)))
    return None
