"""Objects are what the API server accepts: served kinds, known fields, right types."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.apis.catalogue import OBJECT_META, POD_TEMPLATE
from gitops_policy.apis.schemas import Fault, Schema
from gitops_policy.fields import Path, field
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.served import is_custom, is_removed, served
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import pods
from gitops_policy.registry import BUILD, EVERY, rule
from gitops_policy.world import World

_STRICT = "https://kubernetes.io/docs/reference/using-api/api-concepts/#field-validation"
_STRUCTURAL = (
    "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/"
    "custom-resource-definitions/#specifying-a-structural-schema"
)
_REMOVED = "https://kubernetes.io/docs/reference/using-api/deprecation-guide/"


@rule(
    id="crd-schemas",
    title="The schemas of custom kinds are there to check against",
    severity="error",
    rationale="A check that cannot run must not look like one that passed.",
    references=[_STRUCTURAL],
    kinds=BUILD,
)
def crd_schemas(world: World) -> Iterator[Problem]:
    """Where custom kinds are used, the folder of CRD schemas exists: surely where one is named."""
    own = [r for r in world.index.resources if is_custom(r, world)]
    if own and world.custom is None:
        named = world.config.schemas or world.config.profile == "strict"
        yield Problem(
            None,
            (),
            f"no CRD schemas in {world.config.schemas or '.tools/schemas'}: "
            "objects of custom kinds are not checked against them",
            "name the folder with --schemas; in this repository `make tools` writes it",
            Severity.error if named else Severity.warning,
        )


@rule(
    id="schema-valid",
    title="Objects have known fields with values of the right type",
    severity="error",
    rationale="An unknown field is dropped in silence: what it should do, nobody does.",
    references=[_STRICT, _STRUCTURAL],
    kinds=EVERY,
    known_as="kube-linter:schema-validation kubeconform:strict kubernetes-validate:strict",
)
def schema_valid(resource: Resource, world: World) -> Iterator[Problem]:
    """Each object fits its schema; pod templates in custom kinds also fit the core's."""
    for path, reason in dict(_faults(resource, world)).items():
        shown = ".".join(str(step) for step in path) or "the object"
        yield resource.problem(path, f"{shown} {reason}", "see the schema of this kind")


def _faults(resource: Resource, world: World) -> Iterator[Fault]:
    if is_custom(resource, world):
        yield from _custom_faults(resource, world)
    elif schema := world.core.schema(resource.api_version, resource.kind):
        yield from world.core.validator.faults(resource.content, schema)


def _custom_faults(resource: Resource, world: World) -> Iterator[Fault]:
    core, definitions = world.core, world.custom
    schema = definitions.schema(resource.api_version, resource.kind) if definitions else None
    if definitions is None or schema is None:
        return
    yield from definitions.validator.faults(resource.content, schema)
    metadata = field(resource.content, "metadata")
    yield from core.validator.faults(metadata, core.definitions[OBJECT_META], ("metadata",))
    template = core.definitions[POD_TEMPLATE]
    for pod in pods(resource):
        yield from core.validator.faults(pod.template, template, pod.path)


@rule(
    id="field-values-valid",
    title="Fields hold values that the API server takes",
    severity="error",
    rationale="No published schema says which words and amounts a field of Kubernetes may hold.",
    references=[_STRICT],
    kinds=EVERY,
)
def field_values_valid(resource: Resource, world: World) -> Iterator[Problem]:
    """Enums, ranges, amounts, times and references are such, in pod templates of any kind too."""
    core = world.core
    validator, definitions = core.refined_validator, core.refined
    places: list[tuple[Any, Schema, Path]] = []
    if not is_custom(resource, world):
        schema = core.refined_schema(resource.api_version, resource.kind)
        places += [(resource.content, schema, ())] if schema else []
    else:
        metadata = field(resource.content, "metadata")
        places.append((metadata, definitions[OBJECT_META], ("metadata",)))
        template = definitions[POD_TEMPLATE]
        places += [(pod.template, template, pod.path) for pod in pods(resource)]
    found = dict(fault for place in places for fault in validator.faults(*place))
    known = dict(_faults(resource, world)) if found else {}
    for path, reason in found.items():
        if path not in known:
            shown = ".".join(str(step) for step in path) or "the object"
            yield resource.problem(path, f"{shown} {reason}", "see the reference of this kind")


@rule(
    id="known-kind",
    title="Every kind is one that the rules know",
    severity="warning",
    rationale="Nothing was checked in an object whose kind has no schema.",
    references=[_STRICT],
    kinds=EVERY,
)
def known_kind(resource: Resource, world: World) -> Iterator[Problem]:
    """Each kind is Kubernetes' own or has a CRD schema; an error in the profile strict."""
    unchecked = is_custom(resource, world) and world.custom is None
    if not unchecked and not served(resource, world):
        yield resource.problem(
            ("kind",),
            f"{resource.api_version} {resource.kind} is a kind without a schema",
            "check the spelling, or add the CRD to the tools that `make tools` reads",
            severity=Severity.error if world.config.profile == "strict" else None,
        )


@rule(
    id="removed-api",
    title="The apiVersion is served",
    severity="error",
    rationale="The API server refuses an apiVersion that it no longer serves.",
    references=[_REMOVED],
    kinds=EVERY,
    known_as=(
        "kube-linter:no-extensions-v1beta kube-score:stable-version trivy:KSV-0107 datree:18 "
        "datree:19 datree:90 datree:91 datree:92 datree:93 datree:94 datree:106 datree:107 "
        "datree:108 datree:109 datree:110 datree:111 kyverno:check-deprecated-apis "
        "gatekeeper:verifydeprecatedapi"
    ),
)
def removed_api(resource: Resource, world: World) -> Iterator[Problem]:
    """A known kind stands under an apiVersion of its schemas."""
    if is_removed(resource, world):
        yield resource.problem(
            ("apiVersion",),
            f"{resource.api_version} {resource.kind} is not served",
            f"use {' or '.join(served(resource, world))}",
        )
