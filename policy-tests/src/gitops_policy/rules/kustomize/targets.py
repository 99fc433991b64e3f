"""Kustomize: edits that meet nothing are no errors to it; here they are."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.image_names import image_name
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_DOCS = "https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/"
_GENERATORS = ("configMapGenerator", "secretGenerator")
_RENAMING = ("namePrefix", "nameSuffix")


@rule(
    id="kustomize-patch-applies",
    title="A patch has something to change",
    severity="error",
    rationale="Kustomize skips a patch whose target matches nothing, and says nothing.",
    references=[_DOCS + "patches/"],
    kinds=BUILD,
)
def kustomize_patch_applies(world: World) -> Iterator[Problem]:
    """Each patch with a target matches an object of the render by kind, name and labels."""
    if not world.index.resources:
        return
    contents = [k.source.content for k in world.build.tree.kustomizations]
    renamed = any(name in mapping(content) for content in contents for name in _RENAMING)
    generated = {
        text(item, "name")
        for content in contents
        for name in _GENERATORS
        for _, item in entries(content, name)
    }
    for kustomization in world.build.tree.kustomizations:
        source = kustomization.source
        for name in ("patches", "patchesJson6902"):
            for i, patch in entries(source.content, name):
                target = mapping(patch, "target")
                if not target or text(target, "name") in generated:
                    continue
                if not any(_meant(target, r, renamed=renamed) for r in world.index.resources):
                    message = f"no object is {_shown(target)}"
                    path: Path = (name, i, "target")
                    fix = "correct the target: the patch does nothing"
                    yield world.problem_in(source, path, message, fix)


def _shown(target: dict[str, Any]) -> str:
    return ", ".join(f"{key} {value}" for key, value in target.items())


def _meant(target: dict[str, Any], resource: Resource, *, renamed: bool) -> bool:
    found = {"group": resource.group, "version": resource.version, "kind": resource.kind}
    # The namespace is set after the patches, and names may be changed after them.
    if not renamed:
        found["name"] = resource.name
    return (
        all(_matches(text(target, key), value) for key, value in found.items() if key in target)
        and _selects(text(target, "labelSelector"), resource.labels)
        and _selects(text(target, "annotationSelector"), resource.annotations)
    )


def _matches(pattern: str, value: str) -> bool:
    try:
        return not pattern or re.fullmatch(pattern, value) is not None
    except re.error:
        return True


def _selects(selector: str, labels: dict[str, Any]) -> bool:
    """Say whether a selector of equalities accepts labels; other forms are taken to."""
    for term in filter(None, selector.split(",")):
        key, equals, value = term.replace("==", "=").partition("=")
        plain = equals and not re.search(r"[!()\s]", term.strip())
        if plain and str(labels.get(key.strip())) != value.strip():
            return False
    return True


@rule(
    id="kustomize-image-applies",
    title="An images entry sets an image",
    severity="error",
    rationale="Kustomize skips an entry that matches no image: the release is not the one named.",
    references=[_DOCS + "images/"],
    kinds=BUILD,
)
def kustomize_image_applies(world: World) -> Iterator[Problem]:
    """Each entry's name, or its newName, is the image of some container of the render."""
    sources = [k.source for k in world.build.tree.kustomizations]
    if not world.index.resources or not any(entries(s.content, "images") for s in sources):
        return
    used = {image for resource in world.index.resources for image in _images(resource.content)}
    names = {name for image in used for name in (image, _without_tag(image))}
    for source in sources:
        for i, item in entries(source.content, "images"):
            wanted = {text(item, "name"), text(item, "newName")} - {""}
            if wanted and not wanted & names:
                yield world.problem_in(
                    source,
                    ("images", i, "name"),
                    f"no container runs {text(item, 'name')!r}",
                    "write the name as the manifests do, without tag",
                )


def _images(value: object) -> Iterator[str]:
    """Yield the images that Kustomize finds: of containers, in objects of any kind."""
    if isinstance(value, list):
        for item in value:
            yield from _images(item)
    elif isinstance(value, dict):
        for name, item in value.items():
            if name in ("containers", "initContainers"):
                for _, container in entries(value, name):
                    yield text(container, "image").partition("@")[0]
            yield from _images(item)


def _without_tag(image: str) -> str:
    tag = image_name(image).tag
    return image.removesuffix(f":{tag}") if tag else image
