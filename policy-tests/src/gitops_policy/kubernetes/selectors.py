"""Label selectors, the pods they select, and the objects that select a pod."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from gitops_policy.fields import entries, mapping, sequence, text
from gitops_policy.kubernetes.operators import KINDS, made_labels
from gitops_policy.model import Resource
from gitops_policy.pods import Pod
from gitops_policy.world import World, once

_POD_NAME = "statefulset.kubernetes.io/pod-name"
_POD_INDEX = "apps.kubernetes.io/pod-index"
_ROLES = (
    ("canary", "canaryMetadata"),
    ("canary", "stableMetadata"),
    ("blueGreen", "activeMetadata"),
    ("blueGreen", "previewMetadata"),
)
# Pods of these kinds are started by others on demand; no Service or budget means them.
_RUN_TO_END = frozenset({"argoproj.io/AnalysisTemplate", "argoproj.io/ClusterAnalysisTemplate"})


def matches(selector: object, labels: Mapping[str, Any]) -> bool:
    """Say whether a label selector (matchLabels and matchExpressions) accepts the labels.

    An empty selector accepts everything, as in Kubernetes.
    """
    wanted = mapping(selector, "matchLabels")
    return all(labels.get(key) == value for key, value in wanted.items()) and all(
        _accepts(term, labels) for _, term in entries(selector, "matchExpressions")
    )


def _accepts(term: Mapping[str, Any], labels: Mapping[str, Any]) -> bool:
    key, operator = text(term, "key"), text(term, "operator")
    values = sequence(term, "values")
    if operator == "In":
        return key in labels and labels[key] in values
    if operator == "NotIn":
        return labels.get(key) not in values
    return (key in labels) is (operator == "Exists")


class _Pods:
    """The pods of a build by namespace and label, so that a selector reads only its own."""

    def __init__(self, world: World) -> None:
        self._by_namespace: dict[str, list[Pod]] = defaultdict(list)
        self._by_label: dict[tuple[str, str, str], list[Pod]] = defaultdict(list)
        for pod in world.pods:
            namespace = pod.resource.namespace
            self._by_namespace[namespace].append(pod)
            for key, value in pod.labels.items():
                if isinstance(value, str):
                    self._by_label[(namespace, key, value)].append(pod)

    def candidates(self, namespace: str, selector: object) -> list[Pod]:
        """Return the pods that carry the rarest label that the selector asks for."""
        found = self._by_namespace.get(namespace, [])
        for key, value in mapping(selector, "matchLabels").items():
            if isinstance(value, str):
                found = min(found, self._by_label.get((namespace, key, value), []), key=len)
        return found


@once
def _pods(world: World) -> _Pods:
    return _Pods(world)


def pods_in(world: World, namespace: str, selector: object = None) -> list[Pod]:
    """Return all pods of a namespace that a selector accepts, those of analysis jobs included."""
    found = _pods(world).candidates(namespace, selector)
    return [pod for pod in found if matches(selector, pod.labels)]


def selected(world: World, namespace: str, selector: object) -> list[Pod]:
    """Return the pods of the build in this namespace that a label selector accepts."""
    return [
        pod
        for pod in pods_in(world, namespace, selector)
        if pod.resource.group_kind not in _RUN_TO_END
    ]


def selects(world: World, namespace: str, selector: object) -> bool:
    """Say whether a selector finds a pod: of a template, or of one that an operator makes.

    Controllers add labels to the pods they make: their index, their Job, their role in a release.
    """
    wanted = _without_index(selector, world, namespace)
    return (
        bool(selected(world, namespace, wanted))
        or any(matches(wanted, labels) for labels in _added_labels(world).get(namespace, ()))
        or any(
            resource.namespace == namespace and _may_accept(selector, labels)
            for resource, labels in _operator_pods(world)
        )
    )


def _without_index(selector: object, world: World, namespace: str) -> object:
    """Return a selector for one pod of a StatefulSet of the build as one for all of them."""
    wanted = mapping(selector, "matchLabels")
    name, _, index = text(wanted, _POD_NAME).rpartition("-")
    if not index.isdecimal() or not world.index.get("apps/StatefulSet", namespace, name):
        return selector
    others = {key: value for key, value in wanted.items() if key not in (_POD_NAME, _POD_INDEX)}
    return {**mapping(selector), "matchLabels": others}


@once
def _added_labels(world: World) -> dict[str, list[dict[str, Any]]]:
    """Return the labels of pods with those that Jobs and Rollouts add, by namespace."""
    found: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for job in world.index.of_kind("batch/Job"):
        added = dict.fromkeys(("job-name", "batch.kubernetes.io/job-name"), job.name)
        found[job.namespace] += [{**pod.labels, **added} for pod in world.pods_of(job)]
    for rollout in world.index.of_kind("argoproj.io/Rollout"):
        for added in _release_labels(rollout):
            for pod in world.pods_of(rollout) if added else ():
                found[rollout.namespace].append({**pod.labels, **added})
    return found


def _release_labels(rollout: Resource) -> Iterator[dict[str, Any]]:
    """Yield the labels of each role, and of each template of an experiment step."""
    strategy = mapping(rollout.spec, "strategy")
    for name, role in _ROLES:
        yield mapping(strategy, name, role, "labels")
    for _, step in entries(strategy, "canary", "steps"):
        for _, template in entries(step, "experiment", "templates"):
            yield mapping(template, "metadata", "labels")


def _may_accept(selector: object, labels: Mapping[str, Any]) -> bool:
    """Say whether known labels fit a selector, one of which at least it asks for.

    Operators set more labels than are known (roles, ordinals).
    """
    wanted = mapping(selector, "matchLabels")
    terms = [term for _, term in entries(selector, "matchExpressions")]
    asked = {*wanted, *(text(term, "key") for term in terms)} & labels.keys()
    return (
        bool(asked)
        and all(labels.get(key, value) == value for key, value in wanted.items())
        and all(_accepts(term, labels) for term in terms if text(term, "key") in labels)
    )


@once
def _operator_pods(world: World) -> list[tuple[Resource, dict[str, Any]]]:
    return [(resource, made_labels(resource)) for resource in world.index.of_kind(*KINDS)]


def served(world: World, namespace: str, service: Mapping[str, Any]) -> list[Pod]:
    """Return the pods behind a Service spec; its plain selector means equality."""
    return selected(world, namespace, {"matchLabels": mapping(service, "selector")})


class Selecting:
    """Objects with a label selector, found by the labels they select in their namespace."""

    def __init__(
        self, resources: Iterable[Resource], selector: Callable[[Resource], object]
    ) -> None:
        self._selector = selector
        self._by_label: dict[tuple[str, str, str], list[Resource]] = defaultdict(list)
        self._wide: dict[str, list[Resource]] = defaultdict(list)
        for resource in resources:
            wanted = mapping(selector(resource), "matchLabels").items()
            first = next(((k, v) for k, v in wanted if isinstance(v, str)), None)
            if first:
                self._by_label[(resource.namespace, *first)].append(resource)
            else:
                self._wide[resource.namespace].append(resource)

    def of(self, namespace: str, labels: Mapping[str, Any]) -> Iterator[Resource]:
        """Yield the objects of the namespace whose selector accepts these labels."""
        for resource in self._wide.get(namespace, ()):
            if matches(self._selector(resource), labels):
                yield resource
        for key, value in labels.items():
            if isinstance(value, str):
                for resource in self._by_label.get((namespace, key, value), ()):
                    if matches(self._selector(resource), labels):
                        yield resource


@once
def _services(world: World) -> Selecting:
    found = [s for s in world.index.of_kind("Service") if mapping(s.spec, "selector")]
    return Selecting(found, lambda s: {"matchLabels": mapping(s.spec, "selector")})


def services_of(pod: Pod, world: World) -> list[Resource]:
    """Return the Services that select a pod."""
    return list(_services(world).of(pod.resource.namespace, pod.labels))
