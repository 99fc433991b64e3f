"""How a Deployment replaces its pods."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import mapping, sequence, text
from gitops_policy.findings import Severity
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import rule
from gitops_policy.world import World


@rule(
    id="rolling-update",
    title="A Deployment replaces its pods one after the other",
    severity="error",
    rationale="Recreate ends every pod before the first new one is ready: an outage per release.",
    references=["https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#strategy"],
    kinds=["apps/Deployment"],
    known_as=[
        "kube-linter:no-rolling-update-strategy",
        "kube-score:deployment-strategy",
        "kubescape:C-0305",
    ],
)
def rolling_update(workload: Resource, world: World) -> Iterator[Problem]:
    """The strategy is RollingUpdate, as by default; with a volume for one node it is an info."""
    kind = text(workload.spec, "strategy", "type")
    if kind in ("", "RollingUpdate"):
        return
    single = any(_has_single_volume(pod, world) for pod in world.pods_of(workload))
    yield workload.problem(
        ("spec", "strategy", "type"),
        f"the strategy is {kind}",
        "use RollingUpdate, or a StatefulSet where each pod has its own volume",
        severity=Severity.info if single else None,
    )


def _has_single_volume(pod: Pod, world: World) -> bool:
    for _, volume in pod.volumes:
        name = text(volume, "persistentVolumeClaim", "claimName")
        claim = world.index.get("PersistentVolumeClaim", pod.resource.namespace, name)
        if claim and "ReadWriteMany" not in sequence(mapping(claim.spec), "accessModes"):
            return True
    return False
