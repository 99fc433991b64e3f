"""Kustomize: what it does silently to kinds it does not know."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.findings import Severity
from gitops_policy.model import Problem
from gitops_policy.reading.kustomization import Kustomization, shown
from gitops_policy.reading.manifests import ManifestError, Source, read_text
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_DOCS = "https://kubectl.docs.kubernetes.io/references/kustomize/kustomization/"
_GENERATORS = ("configMapGenerator", "secretGenerator")
_DEPRECATED = {
    "bases": "resources",
    "commonLabels": "labels",
    "patchesJson6902": "patches",
    "patchesStrategicMerge": "patches",
    "vars": "replacements",
}


def _present(world: World, *names: str) -> Iterator[tuple[Source, str]]:
    for kustomization in world.build.tree.kustomizations:
        for name in names:
            if name in mapping(kustomization.source.content):
                yield kustomization.source, name


@rule(
    id="no-merge-patch-on-rollout",
    title="A Rollout is patched by JSON 6902 only",
    severity="error",
    rationale="A merge patch replaces the list of containers: image, probes and resources vanish.",
    references=[_DOCS + "patches/"],
    kinds=BUILD,
)
def no_merge_patch_on_rollout(world: World) -> Iterator[Problem]:
    """No patch is a partial Rollout, or a mapping with a Rollout as target."""
    for kustomization in world.build.tree.kustomizations:
        source = kustomization.source
        for path, target, content in _patches(kustomization, world):
            if isinstance(content, dict) and "Rollout" in (target, text(content, "kind")):
                yield world.problem_in(
                    source,
                    path,
                    "a strategic merge patch on a Rollout replaces its lists",
                    "write a JSON 6902 patch: a list of operations, with target: {kind: Rollout}",
                )


def _patches(item: Kustomization, world: World) -> Iterator[tuple[Path, str, Any]]:
    """Yield path, target kind and content of each patch of a kustomization."""
    content = item.source.content
    for i, patch in entries(content, "patches"):
        target = text(patch, "target", "kind")
        if inline := text(patch, "patch"):
            for document in _read(inline, item.source.file):
                yield ("patches", i, "patch"), target, document
        for document in _file(item, text(patch, "path"), world):
            yield ("patches", i, "path"), target, document
    for i, entry in enumerate(sequence(content, "patchesStrategicMerge")):
        read = _read(str(entry), item.source.file) if "\n" in str(entry) else None
        for document in read if read is not None else _file(item, str(entry), world):
            yield ("patchesStrategicMerge", i), "", document


def _read(content: str, name: str) -> list[Any]:
    try:
        return [source.content for source in read_text(content, name)]
    except ManifestError:
        return []


def _file(item: Kustomization, path: str, world: World) -> list[Any]:
    name = shown((item.folder / path).resolve())
    return [s.content for s in world.build.tree.sources if path and s.file == name]


@rule(
    id="no-custom-openapi",
    title="No custom OpenAPI schema",
    severity="error",
    rationale="openapi.path replaces the built-in schema: merges on Deployments break, silently.",
    references=[_DOCS + "openapi/"],
    kinds=BUILD,
)
def no_custom_openapi(world: World) -> Iterator[Problem]:
    """No kustomization of the tree sets `openapi`."""
    for source, name in _present(world, "openapi"):
        yield world.problem_in(
            source,
            (name,),
            "a custom schema replaces the built-in one",
            "remove it and patch custom kinds by JSON 6902",
        )


@rule(
    id="rollout-name-references",
    title="Kustomize knows where a Rollout names generated objects",
    severity="error",
    rationale="Without field specs hashed names are not rewritten inside a Rollout, unwarned.",
    references=[
        "https://github.com/kubernetes-sigs/kustomize/tree/master/examples/transformerconfigs"
    ],
    kinds=BUILD,
)
def rollout_name_references(world: World) -> Iterator[Problem]:
    """With a Rollout and a generator, some configuration has nameReference specs for Rollouts."""
    if not world.index.of_kind("argoproj.io/Rollout"):
        return
    generators = [
        (source, name)
        for source, name in _present(world, *_GENERATORS)
        if any(
            mapping(item, "options").get("disableNameSuffixHash") is not True
            for _, item in entries(source.content, name)
        )
    ]
    known = any(
        text(spec, "kind") == "Rollout"
        for source in world.build.tree.sources
        for _, reference in entries(source.content, "nameReference")
        for _, spec in entries(reference, "fieldSpecs")
    )
    if generators and not known:
        yield world.problem_in(
            generators[0][0],
            (generators[0][1],),
            "names generated here are not rewritten inside the Rollout",
            "add rollouts/kustomizeconfig to components",
        )


@rule(
    id="no-name-prefix",
    title="Names are not prefixed or suffixed",
    severity="error",
    rationale="A prefix changes selectors and references that Kustomize does not know of.",
    references=[_DOCS + "nameprefix/"],
    kinds=BUILD,
)
def no_name_prefix(world: World) -> Iterator[Problem]:
    """Neither namePrefix nor nameSuffix stands in the tree."""
    for source, name in _present(world, "namePrefix", "nameSuffix"):
        yield world.problem_in(
            source, (name,), f"{name} renames objects", "let namespaces differ instead"
        )


@rule(
    id="no-common-labels",
    title="Labels are not added to selectors",
    severity="error",
    rationale=(
        "commonLabels changes selectors, which are immutable: the next sync cannot apply them."
    ),
    references=[_DOCS + "commonlabels/"],
    kinds=BUILD,
)
def no_common_labels(world: World) -> Iterator[Problem]:
    """No commonLabels, and no labels entry with includeSelectors."""
    for source, name in _present(world, "commonLabels"):
        yield world.problem_in(
            source, (name,), "commonLabels changes selectors", "use labels: with pairs:"
        )
    for source, name in _present(world, "labels"):
        for i, item in entries(source.content, name):
            if item.get("includeSelectors") is True:
                yield world.problem_in(
                    source,
                    (name, i, "includeSelectors"),
                    "includeSelectors changes immutable selectors",
                    "remove it, and write selectors out in the base",
                )


@rule(
    id="no-deprecated-kustomize-field",
    title="No deprecated field of Kustomize",
    severity="warning",
    rationale="Deprecated fields go away with the next API version, and behave in older ways.",
    references=[_DOCS],
    kinds=BUILD,
)
def no_deprecated_kustomize_field(world: World) -> Iterator[Problem]:
    """None of bases, commonLabels, patchesJson6902, patchesStrategicMerge, vars."""
    for source, name in _present(world, *_DEPRECATED):
        yield world.problem_in(source, (name,), f"{name} is deprecated", f"use {_DEPRECATED[name]}")


@rule(
    id="kustomize-image-digest",
    title="An image that an overlay sets is set by digest",
    severity="warning",
    rationale="The overlay is where the released image is named: a tag there can be moved.",
    references=[_DOCS + "images/"],
    kinds=BUILD,
)
def kustomize_image_digest(world: World) -> Iterator[Problem]:
    """Each entry of images: has a well-formed sha256 digest; production must."""
    for source, name in _present(world, "images"):
        for i, image in entries(source.content, name):
            if re.fullmatch(r"sha256:[0-9a-f]{64}", text(image, "digest")):
                continue
            problem = world.problem_in(
                source,
                (name, i),
                f"image {text(image, 'name')!r} is not set by digest",
                "write digest: sha256:<64 hex digits>",
            )
            strict = world.environment == "production"
            yield Problem(
                None,
                problem.path,
                problem.message,
                problem.fix,
                Severity.error if strict else None,
                problem.origin,
            )
