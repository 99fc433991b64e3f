"""Labels and annotations that somebody asks for: the settings, an organisation, other tools."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gitops_policy.apis.kinds import POD_TEMPLATES
from gitops_policy.fields import Path, mapping, quoted, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import EVERY, rule
from gitops_policy.world import World

_RECOMMENDED = "https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/"
_NAME = "app.kubernetes.io/name"
_INSTANCE = "app.kubernetes.io/instance"
_COMMON = (
    _NAME,
    _INSTANCE,
    *(
        f"app.kubernetes.io/{name}"
        for name in ("version", "component", "part-of", "managed-by", "created-by")
    ),
)
_USUAL = ("app", "tier", "phase", "version", "owner", "env")
_EMAIL = re.compile(r"[A-Za-z0-9_.+-]@[A-Za-z0-9-]+\.[A-Za-z0-9.-]+")
_WORKLOADS = [kind for kind in POD_TEMPLATES if kind != "PodTemplate"]


def _missing(given: Mapping[str, Any], wanted: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Yield each key that is not given, or whose value does not hold the pattern asked for."""
    for item in wanted:
        key, equals, pattern = item.partition("=")
        value = given.get(key)
        if not isinstance(value, str) or not value:
            yield key, "is missing"
        elif equals and not _holds(pattern, value):
            yield key, f"is {value!r}, which does not hold {pattern!r}"


def _holds(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern, value) is not None
    except re.error:
        return pattern == value


@rule(
    id="required-labels",
    title="Objects carry the labels that the settings ask for",
    severity="warning",
    rationale="Whoever is paged or billed is found by labels; an object without has no owner.",
    references=[_RECOMMENDED],
    kinds=EVERY,
    known_as="gatekeeper:requiredlabels gatekeeper:k8srequiredlabels",
)
def required_labels(resource: Resource, world: World) -> Iterator[Problem]:
    """Each of the setting `required_labels` (KEY or KEY=PATTERN) is there; unset, none is."""
    for key, reason in _missing(resource.labels, world.config.required_labels):
        yield resource.problem(
            ("metadata", "labels", key), f"label {key} {reason}", "set it, in the overlay's labels:"
        )


@rule(
    id="required-annotations",
    title="Objects carry the annotations that the settings ask for",
    severity="warning",
    rationale="A contact or a runbook is of use only where every object has one.",
    references=["https://kubernetes.io/docs/concepts/overview/working-with-objects/annotations/"],
    kinds=EVERY,
    known_as="gatekeeper:requiredannotations gatekeeper:k8srequiredannotations",
)
def required_annotations(resource: Resource, world: World) -> Iterator[Problem]:
    """Each of the setting `required_annotations` (KEY or KEY=PATTERN) is there; unset, none is."""
    for key, reason in _missing(resource.annotations, world.config.required_annotations):
        path = ("metadata", "annotations", key)
        yield resource.problem(path, f"annotation {key} {reason}", "set it")


@rule(
    id="owner-label",
    title="Objects carry the label owner",
    severity="info",
    rationale="Of taste: an organisation that names owners so finds them by it.",
    references=[_RECOMMENDED],
    kinds=EVERY,
    known_as="kube-linter:required-label-owner datree:21",
    default=False,
)
def owner_label(resource: Resource) -> Iterator[Problem]:
    """The label `owner` has a value."""
    if not text(resource.labels, "owner"):
        yield resource.problem(("metadata", "labels", "owner"), "label owner is missing", "set it")


@rule(
    id="owner-email",
    title="Objects carry an annotation email",
    severity="info",
    rationale="Of taste: an address in Git grows old; a team's name in a label less so.",
    references=[_RECOMMENDED],
    kinds=EVERY,
    known_as="kube-linter:required-annotation-email",
    default=False,
)
def owner_email(resource: Resource) -> Iterator[Problem]:
    """The annotation `email` holds an address."""
    if not _EMAIL.search(text(resource.annotations, "email")):
        path = ("metadata", "annotations", "email")
        yield resource.problem(path, "annotation email holds no address", "set it")


@rule(
    id="environment-label",
    title="Deployments carry the label env",
    severity="info",
    rationale="Of taste: where each environment has a namespace of its own, that says it.",
    references=[_RECOMMENDED],
    kinds=["apps/Deployment", "argoproj.io/Rollout"],
    known_as="datree:22",
    default=False,
)
def environment_label(resource: Resource) -> Iterator[Problem]:
    """The label `env` has a value."""
    if not text(resource.labels, "env"):
        yield resource.problem(("metadata", "labels", "env"), "label env is missing", "set it")


@rule(
    id="name-label",
    title="Pods carry the label app.kubernetes.io/name",
    severity="info",
    rationale="Of taste: dashboards and service maps group by the recommended labels.",
    references=[_RECOMMENDED],
    kinds=_WORKLOADS,
    known_as="kyverno:require-labels",
    default=False,
)
def name_label(resource: Resource, world: World) -> Iterator[Problem]:
    """The pod template (or the Pod) has the label with a value."""
    for pod in world.templates_in(resource):
        if not text(pod.labels, _NAME):
            path = (*pod.path, "metadata", "labels", _NAME)
            yield resource.problem(path, f"label {_NAME} is missing", "set it")


def _one_of(resource: Resource, world: World, labels: tuple[str, ...]) -> Iterator[Problem]:
    """Yield a problem for the workload, and one for its pods, if they carry none of the labels."""
    places: dict[Path, dict[str, Any]] = {(): resource.content}
    places |= {pod.path: pod.template for pod in world.templates_in(resource)}
    for path, content in places.items():
        given = mapping(content, "metadata", "labels")
        if not any(text(given, label) for label in labels):
            yield resource.problem(
                (*path, "metadata", "labels"), f"has none of {', '.join(labels)}", "set one"
            )


@rule(
    id="common-label",
    title="Workloads and their pods carry a recommended label",
    severity="info",
    rationale="Of taste: tools that know the recommended labels show what belongs together.",
    references=[_RECOMMENDED],
    kinds=_WORKLOADS,
    known_as="kubescape:C-0077",
    default=False,
)
def common_label(resource: Resource, world: World) -> Iterator[Problem]:
    """One of app.kubernetes.io/name, instance, version ... on the object and on its pods."""
    yield from _one_of(resource, world, _COMMON)


@rule(
    id="usual-label",
    title="Workloads and their pods carry a usual label",
    severity="info",
    rationale="Of taste: app, tier, version, owner ... are older than the recommended labels.",
    references=[_RECOMMENDED],
    kinds=_WORKLOADS,
    known_as="kubescape:C-0076",
    default=False,
)
def usual_label(resource: Resource, world: World) -> Iterator[Problem]:
    """One of app, tier, phase, version, owner, env on the object and on its pods."""
    yield from _one_of(resource, world, _USUAL)


@rule(
    id="instance-label",
    title="The label app.kubernetes.io/instance is the object's name",
    severity="info",
    rationale="Of taste: Argo CD and Helm put the name of the application there.",
    references=[_RECOMMENDED],
    kinds=_WORKLOADS,
    known_as="polaris:metadataAndInstanceMismatched",
    default=False,
)
def instance_label(resource: Resource) -> Iterator[Problem]:
    """It is there and equals metadata.name."""
    value = resource.labels.get(_INSTANCE)
    if value != resource.name:
        path = ("metadata", "labels", _INSTANCE)
        yield resource.problem(
            path,
            f"{_INSTANCE} is {quoted(value)}, instead of {resource.name!r}",
            "set it to the name",
        )
