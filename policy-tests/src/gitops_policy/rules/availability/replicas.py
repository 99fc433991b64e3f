"""Replicas: enough pods, whoever counts them."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import field
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.scaling import (
    HPA,
    SCALABLE,
    SCALED_OBJECT,
    autoscalers,
    bounds,
    count,
    minimum_field,
    runs_elsewhere,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World


@rule(
    id="minimum-replicas",
    title="A workload without autoscaler runs several replicas",
    severity="warning",
    rationale="One replica is an outage at every node drain.",
    references=["https://kubernetes.io/docs/concepts/workloads/pods/disruptions/"],
    kinds=[*SCALABLE, "postgresql.cnpg.io/Cluster"],
    known_as=[
        "kube-score:deployment-replicas",
        "polaris:deploymentMissingReplicas",
        "datree:16",
        "kyverno:require-deployments-have-multiple-replicas",
        "gatekeeper:replicalimits",
        "gatekeeper:k8sreplicalimits",
    ],
)
def minimum_replicas(workload: Resource, world: World) -> Iterator[Problem]:
    """`replicas`, where Git says it, reaches the configured minimum.

    dev is exempt, production is an error.
    """
    name = _count_field(workload)
    replicas, wanted = field(workload.spec, name), world.config.minimum_replicas
    if world.environment == "dev" or _counted_elsewhere(workload, world):
        return
    if replicas is not None and count(replicas, 1) < wanted:
        yield workload.problem(
            ("spec", name),
            f"{replicas} of at least {wanted} replicas",
            f"set {name} to {wanted} or more, or add an autoscaler",
            severity=Severity.error if world.environment == "production" else None,
        )


@rule(
    id="replicas-set",
    title="Git says how many pods run, or an autoscaler does",
    severity="warning",
    rationale="Without either it is one: an outage at every node drain.",
    references=["https://kubernetes.io/docs/concepts/workloads/pods/disruptions/"],
    kinds=[*SCALABLE, "postgresql.cnpg.io/Cluster"],
    known_as=[
        "kube-score:deployment-replicas",
        "polaris:deploymentMissingReplicas",
        "kyverno:require-deployments-have-multiple-replicas",
        "gatekeeper:replicalimits",
        "gatekeeper:k8sreplicalimits",
    ],
)
def replicas_set(workload: Resource, world: World) -> Iterator[Problem]:
    """`replicas` is written, or an autoscaler of the build owns it.

    dev is exempt, production is an error.
    """
    name = _count_field(workload)
    if world.environment == "dev" or _counted_elsewhere(workload, world):
        return
    if field(workload.spec, name) is None and world.config.minimum_replicas > 1:
        yield workload.problem(
            ("spec", name),
            f"there is no {name}: one pod runs",
            f"set {name} to {world.config.minimum_replicas} or more, or add an autoscaler",
            severity=Severity.error if world.environment == "production" else None,
        )


def _count_field(workload: Resource) -> str:
    return "instances" if workload.kind == "Cluster" else "replicas"


def _counted_elsewhere(workload: Resource, world: World) -> bool:
    return bool(autoscalers(workload, world)) or runs_elsewhere(workload, world)


@rule(
    id="three-replicas",
    title="A workload or autoscaler keeps three replicas",
    severity="info",
    rationale=(
        "With three, one may be drained while another fails; kube-linter asks for it, this suite"
        " asks for `minimum_replicas`."
    ),
    references=["https://kubernetes.io/docs/concepts/workloads/pods/disruptions/"],
    kinds=[*SCALABLE, HPA, SCALED_OBJECT],
    known_as=["kube-linter:minimum-three-replicas", "kube-linter:hpa-minimum-three-replicas"],
    default=False,
)
def three_replicas(resource: Resource, world: World) -> Iterator[Problem]:
    """`replicas`, or the autoscaler's minimum, is at least 3."""
    scales = resource.group_kind in (HPA, SCALED_OBJECT)
    if not scales and _counted_elsewhere(resource, world):
        return
    name = minimum_field(resource) if scales else "replicas"
    found = bounds(resource)[0] if scales else count(field(resource.spec, name), 1)
    if found < 3:
        yield resource.problem(
            ("spec", name), f"{found} of at least 3 replicas", f"set {name} to 3 or more"
        )
