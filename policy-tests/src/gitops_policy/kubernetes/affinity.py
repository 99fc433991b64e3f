"""Where a pod may stand: its anti-affinity terms and spread constraints."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.kubernetes.flows import namespace_labels
from gitops_policy.kubernetes.selectors import matches
from gitops_policy.pods import Pod
from gitops_policy.world import World

HOSTNAME = "kubernetes.io/hostname"
ZONE = "topology.kubernetes.io/zone"
# Keys over which pods are spread; the last two are the names before Kubernetes 1.17.
SPREADING = frozenset(
    {
        HOSTNAME,
        ZONE,
        "topology.kubernetes.io/region",
        "failure-domain.beta.kubernetes.io/zone",
        "failure-domain.beta.kubernetes.io/region",
    }
)
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
# The label by which a controller tells the pods of its revisions apart.
HASH_LABELS = {
    "argoproj.io/Rollout": "rollouts-pod-template-hash",
    "apps/Deployment": "pod-template-hash",
}


def terms(pod: Pod, kind: str = "podAntiAffinity") -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the pod (anti-)affinity terms with their paths in the pod spec."""
    yield from required_terms(pod, kind)
    for i, item in entries(pod.spec, "affinity", kind, PREFERRED):
        path = ("affinity", kind, PREFERRED, i, "podAffinityTerm")
        yield path, mapping(item, "podAffinityTerm")


def required_terms(
    pod: Pod, kind: str = "podAntiAffinity"
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the terms without which the pod is not scheduled."""
    for i, term in entries(pod.spec, "affinity", kind, REQUIRED):
        yield ("affinity", kind, REQUIRED, i), term


def constraints(pod: Pod) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the topology spread constraints with their paths in the pod spec."""
    for i, item in entries(pod.spec, "topologySpreadConstraints"):
        yield ("topologySpreadConstraints", i), item


def selects_itself(term: dict[str, Any], pod: Pod, world: World) -> bool:
    """Say whether a term counts the pods of this template: their labels, their namespace.

    A term without selector counts none. Without namespaces it means the pod's own.
    """
    selector = term.get("labelSelector")
    if not isinstance(selector, dict) or not matches(selector, pod.labels):
        return False
    namespace = pod.resource.namespace
    if namespace in sequence(term, "namespaces"):
        return True
    if isinstance(term.get("namespaceSelector"), dict):
        wanted = mapping(term, "namespaceSelector")
        return namespace_labels(namespace, world).accepted(wanted) is not False
    return not sequence(term, "namespaces")


def by_revision(term: dict[str, Any]) -> bool:
    """Say whether a term counts the pods of one revision only."""
    return bool(set(map(str, sequence(term, "matchLabelKeys"))) & set(HASH_LABELS.values()))


def key_of(term: dict[str, Any]) -> str:
    """Return the topology key of a term or constraint."""
    return text(term, "topologyKey")
