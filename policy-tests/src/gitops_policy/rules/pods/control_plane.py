"""Workloads and the nodes of the control plane."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, mapping
from gitops_policy.model import Problem
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule

_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


@rule(
    id="control-plane-scheduling",
    title="Workloads stay off the control plane",
    severity="warning",
    rationale="A pod beside the API server and etcd shares their kernel and their resources.",
    references=["https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"],
    kinds=PODS,
    known_as=[
        "kyverno:other/restrict-controlplane-scheduling",
        "kyverno:restrict-controlplane-scheduling",
    ],
)
def control_plane_scheduling(pod: Pod) -> Iterator[Problem]:
    """No toleration, node selector or node affinity leads to control-plane nodes."""
    fix = "remove it, or exempt the workload with a reason"
    for i, toleration in entries(pod.spec, "tolerations"):
        key, effect = toleration.get("key"), toleration.get("effect")
        everything = not key and toleration.get("operator") == "Exists"
        if key in _CONTROL_PLANE or (everything and effect in (None, "", "NoSchedule")):
            yield pod.problem(("tolerations", i), "tolerates the control plane's taint", fix)
    for key in mapping(pod.spec, "nodeSelector"):
        if key in _CONTROL_PLANE:
            yield pod.problem(("nodeSelector", key), "selects control-plane nodes", fix)
    for path, expression in _node_expressions(pod):
        if expression.get("key") in _CONTROL_PLANE and expression.get("operator") in (
            "In",
            "Exists",
        ):
            yield pod.problem(path, "prefers or requires control-plane nodes", fix)


def _node_expressions(pod: Pod) -> Iterator[tuple[Path, dict[str, object]]]:
    where: Path = ("affinity", "nodeAffinity")
    required = (*where, "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    preferred = (*where, "preferredDuringSchedulingIgnoredDuringExecution")
    for i, term in entries(pod.spec, *required):
        for j, expression in entries(term, "matchExpressions"):
            yield (*required, i, "matchExpressions", j), expression
    for i, term in entries(pod.spec, *preferred):
        for j, expression in entries(term, "preference", "matchExpressions"):
            yield (*preferred, i, "preference", "matchExpressions", j), expression
