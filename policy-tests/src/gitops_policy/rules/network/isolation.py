"""Isolation by NetworkPolicies: every namespace and pod, in both directions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import mapping, sequence
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.network_policies import DIRECTIONS, policies_in, policies_of, types
from gitops_policy.kubernetes.selectors import pods_in
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World

_DOCS = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"


@rule(
    id="network-default-deny",
    title="A namespace denies traffic by default",
    severity="error",
    rationale="Without a default deny a new pod is open in both directions until somebody thinks.",
    references=[_DOCS + "#default-policies"],
    kinds=["Namespace"],
    known_as=["nsa"],
    needs_whole=True,
)
def network_default_deny(namespace: Resource, world: World) -> Iterator[Problem]:
    """A policy selects every pod of the namespace, isolates both directions, allows nothing."""
    if not pods_in(world, namespace.name):
        return
    denied: set[str] = set()
    for policy in policies_in(namespace.name, world):
        if not any(mapping(policy.spec, "podSelector").values()):
            denied |= {t for t in types(policy) if not _allowances(policy, t)}
    for direction in sorted(set(DIRECTIONS) - denied):
        yield namespace.problem(
            ("metadata", "name"),
            f"no NetworkPolicy denies {direction.lower()} by default",
            "add one with podSelector: {} and policyTypes: [Ingress, Egress]",
        )


def _allowances(policy: Resource, direction: str) -> list[Any]:
    return sequence(policy.spec, DIRECTIONS[direction][0]) if direction in DIRECTIONS else []


@rule(
    id="namespace-has-network-policy",
    title="A namespace has NetworkPolicies",
    severity="error",
    rationale="Without any policy every pod of the namespace talks to everything.",
    references=[_DOCS],
    kinds=["Namespace"],
    known_as=["kubescape:C-0206", "cis:5.3.2"],
)
def namespace_has_network_policy(namespace: Resource, world: World) -> Iterator[Problem]:
    """The build holds a policy for the namespace; one without pods here is information."""
    if not policies_in(namespace.name, world):
        yield namespace.problem(
            ("metadata", "name"),
            "the namespace has no NetworkPolicy",
            "add a default deny",
            severity=None if pods_in(world, namespace.name) else Severity.info,
        )


@rule(
    id="pod-has-network-policy",
    title="A NetworkPolicy selects every pod",
    severity="error",
    rationale="A pod that no policy selects may talk to everything and be reached by everything.",
    references=[_DOCS],
    kinds=PODS,
    known_as=[
        "kube-linter:non-isolated-pod",
        "kube-score:pod-networkpolicy",
        "polaris:missingNetworkPolicy",
        "checkov:CKV2_K8S_6",
        "kubescape:C-0030",
        "kubescape:C-0260",
        "kyverno:require-netpol",
        "nsa",
    ],
    needs_whole=True,
)
def pod_has_network_policy(pod: Pod, world: World) -> Iterator[Problem]:
    """Some policy of the pod's namespace selects it."""
    if next(policies_of(pod, world), None) is None:
        where = (*pod.path, "metadata", "labels")
        yield pod.resource.problem(where, "no NetworkPolicy selects it", "add a default deny")


@rule(
    id="pod-isolated",
    title="The policies of a pod restrict both directions",
    severity="error",
    rationale="A policy without policyTypes restricts what comes in; what goes out stays open.",
    references=[_DOCS + "#the-two-sorts-of-pod-isolation"],
    kinds=PODS,
    known_as=[
        "kube-score:pod-networkpolicy",
        "polaris:missingNetworkPolicy",
        "kubescape:C-0030",
    ],
)
def pod_isolated(pod: Pod, world: World) -> Iterator[Problem]:
    """The policies that select the pod, if any, isolate it for ingress and for egress."""
    isolated: set[str] = set()
    for policy in policies_of(pod, world):
        isolated |= types(policy)
        if isolated.issuperset(DIRECTIONS):
            return
    for direction in sorted(set(DIRECTIONS) - isolated) if isolated else ():
        where = (*pod.path, "metadata", "labels")
        yield pod.resource.problem(
            where, f"no NetworkPolicy restricts its {direction.lower()}", "add a default deny"
        )
