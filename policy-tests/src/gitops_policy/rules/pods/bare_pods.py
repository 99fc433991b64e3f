"""Pods that nothing restarts."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, mapping
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

# A hook runs once, a mirror pod is the kubelet's.
_MEANT = ("helm.sh/hook", "argocd.argoproj.io/hook", "kubernetes.io/config.mirror")


@rule(
    id="no-bare-pod",
    title="A Pod belongs to a workload",
    severity="error",
    rationale="Nothing starts a bare Pod again when its node is drained or lost.",
    references=["https://kubernetes.io/docs/concepts/workloads/pods/#working-with-pods"],
    kinds=["Pod"],
    known_as=[
        "kubescape:C-0073",
        "datree:25",
        "kyverno:prevent-bare-pods",
        "polaris:nakedPod",
    ],
)
def no_bare_pod(pod: Resource) -> Iterator[Problem]:
    """The Pod has an owner, or is a hook."""
    owned = entries(mapping(pod.content, "metadata"), "ownerReferences")
    if not owned and not any(key in pod.annotations for key in _MEANT):
        yield pod.problem(
            ("kind",), "no workload owns the Pod", "write a Deployment, StatefulSet or Job"
        )
