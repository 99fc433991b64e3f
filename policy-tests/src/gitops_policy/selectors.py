"""Label selectors, and the pods they select."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gitops_policy.fields import entries, mapping, sequence, text
from gitops_policy.model import Resource
from gitops_policy.pods import Pod
from gitops_policy.world import World

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


def selected(world: World, namespace: str, selector: object) -> list[Pod]:
    """Return the pods of the build in this namespace that a label selector accepts."""
    return [
        pod
        for pod in world.pods
        if pod.resource.namespace == namespace
        and pod.resource.group_kind not in _RUN_TO_END
        and matches(selector, pod.labels)
    ]


def selects(world: World, namespace: str, selector: object) -> bool:
    """Say whether a selector finds a pod: of a template, or of one that an operator makes."""
    return bool(selected(world, namespace, selector)) or any(
        resource.namespace == namespace and matches(selector, labels)
        for resource in world.index.resources
        if (labels := _operator_labels(resource))
    )


def _operator_labels(resource: Resource) -> dict[str, Any]:
    """Return the labels of the pods that an operator makes for an object."""
    if resource.group_kind == "monitoring.coreos.com/Prometheus":
        return {
            **mapping(resource.spec, "podMetadata", "labels"),
            "app.kubernetes.io/name": "prometheus",
            "app.kubernetes.io/instance": resource.name,
            "app.kubernetes.io/managed-by": "prometheus-operator",
            "operator.prometheus.io/name": resource.name,
        }
    if resource.group_kind == "postgresql.cnpg.io/Cluster":
        return {"cnpg.io/cluster": resource.name, "cnpg.io/podRole": "instance"}
    if resource.group_kind == "cert-manager.io/Certificate":
        return {"acme.cert-manager.io/http01-solver": "true"}
    return {}


def served(world: World, namespace: str, service: Mapping[str, Any]) -> list[Pod]:
    """Return the pods behind a Service spec; its plain selector means equality."""
    return selected(world, namespace, {"matchLabels": mapping(service, "selector")})
