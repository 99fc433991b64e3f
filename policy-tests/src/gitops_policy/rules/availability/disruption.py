"""PodDisruptionBudgets: drains neither stop the service nor hang."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import field
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.budgets import PDB, budgets_of, chosen, covered, selects_any
from gitops_policy.kubernetes.scaling import SCALABLE, runs_elsewhere, scale
from gitops_policy.kubernetes.selectors import selects
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.quantities import share
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World

_DOCS = "https://kubernetes.io/docs/tasks/run-application/configure-pdb/"
_UNHEALTHY = "unhealthyPodEvictionPolicy"
_NEVER = {"minAvailable": ("100%",), "maxUnavailable": (0, "0", "0%")}


@rule(
    id="pdb-selects-workload",
    title="A PodDisruptionBudget selects pods",
    severity="error",
    rationale="A budget without pods protects nothing.",
    references=[_DOCS],
    kinds=[PDB],
    needs_whole=True,
)
def pdb_selects_workload(budget: Resource, world: World) -> Iterator[Problem]:
    """The selector is set, and matches a pod template of the budget's namespace."""
    if not selects_any(budget) or not selects(world, budget.namespace, chosen(budget)):
        yield budget.problem(
            ("spec", "selector"),
            f"no pod template in namespace {budget.namespace!r} matches",
            "select by labels of the workload's pod template",
        )


@rule(
    id="workload-has-pdb",
    title="A replicated workload has a PodDisruptionBudget",
    severity="error",
    rationale="Without a budget a drain of several nodes may evict every replica at once.",
    references=[_DOCS],
    kinds=SCALABLE,
    known_as=[
        "kube-score:deployment-has-poddisruptionbudget",
        "kube-score:statefulset-has-poddisruptionbudget",
        "polaris:missingPodDisruptionBudget",
        "kyverno:require-pdb",
    ],
    needs_whole=True,
)
def workload_has_pdb(workload: Resource, world: World) -> Iterator[Problem]:
    """Some budget of the namespace selects the pods of a workload with several replicas.

    Where Git says no count it is information: an autoscaler elsewhere may own it.
    """
    found = scale(workload, world)
    if (found.minimum < 2 and found.written) or runs_elsewhere(workload, world):
        return
    for pod in world.pods_of(workload):
        if not budgets_of(pod, world):
            yield workload.problem(
                ("metadata", "name"),
                "no PodDisruptionBudget selects its pods",
                "add one with maxUnavailable: 1",
                severity=None if found.written else Severity.info,
            )


@rule(
    id="one-pdb-per-pod",
    title="One PodDisruptionBudget for a pod",
    severity="error",
    rationale="The eviction of a pod with two budgets fails: every drain hangs on it.",
    references=[
        "https://kubernetes.io/docs/concepts/scheduling-eviction/api-initiated-eviction/",
        _DOCS,
    ],
    kinds=PODS,
)
def one_pdb_per_pod(pod: Pod, world: World) -> Iterator[Problem]:
    """No two budgets of the namespace select the same pod."""
    found = [b for b in budgets_of(pod, world) if not world.apart(b, pod.resource)]
    if len(found) > 1:
        names = ", ".join(repr(budget.name) for budget in found)
        yield found[1].problem(
            ("spec", "selector"),
            f"the PodDisruptionBudgets {names} select pods of {pod.resource.kind}"
            f" {pod.resource.name!r}",
            "keep one of them",
        )


@rule(
    id="pdb-one-workload",
    title="A PodDisruptionBudget covers one workload",
    severity="warning",
    rationale="A budget over two workloads may be spent on one: all of its pods may go at once.",
    references=[_DOCS],
    kinds=[PDB],
)
def pdb_one_workload(budget: Resource, world: World) -> Iterator[Problem]:
    """Its pods belong to one workload (a Rollout's canary and stable pods are one)."""
    workloads = [w for w in covered(budget, world) if not world.apart(w, budget)]
    if len(workloads) > 1:
        names = ", ".join(f"{workload.kind} {workload.name!r}" for workload in workloads)
        yield budget.problem(
            ("spec", "selector"), f"it covers {names}", "write one budget for each workload"
        )


@rule(
    id="pdb-one-policy",
    title="A PodDisruptionBudget sets exactly one of minAvailable and maxUnavailable",
    severity="error",
    rationale="With both the API server refuses it, with none it protects nothing.",
    references=[_DOCS],
    kinds=[PDB],
    known_as=["kube-score:poddisruptionbudget-has-policy"],
)
def pdb_one_policy(budget: Resource) -> Iterator[Problem]:
    """One policy, not two and not none."""
    present = [name for name in _NEVER if name in budget.spec]
    if len(present) != 1:
        yield budget.problem(
            ("spec",), f"{len(present)} of the two policies are set", "set maxUnavailable only"
        )


@rule(
    id="pdb-allows-evictions",
    title="A PodDisruptionBudget lets some pod go",
    severity="error",
    rationale="A budget that never allows an eviction stops every node upgrade.",
    references=[_DOCS],
    kinds=[PDB],
    known_as=[
        "kube-linter:pdb-max-unavailable",
        "polaris:pdbDisruptionsIsZero",
        "kyverno:pdb-maxunavailable",
        "gatekeeper:poddisruptionbudget",
        "gatekeeper:k8spoddisruptionbudget",
    ],
)
def pdb_allows_evictions(budget: Resource) -> Iterator[Problem]:
    """maxUnavailable is not 0 or 0%."""
    yield from _blocked(budget, "maxUnavailable")


@rule(
    id="pdb-keeps-fewer-than-all",
    title="A PodDisruptionBudget does not keep every pod",
    severity="error",
    rationale="With minAvailable 100% no pod may go, however many there are.",
    references=[_DOCS],
    kinds=[PDB],
    known_as=["kube-linter:pdb-min-available", "polaris:pdbDisruptionsIsZero"],
)
def pdb_keeps_fewer_than_all(budget: Resource) -> Iterator[Problem]:
    """minAvailable is not 100%."""
    yield from _blocked(budget, "minAvailable")


def _blocked(budget: Resource, name: str) -> Iterator[Problem]:
    if name in budget.spec and budget.spec[name] in _NEVER[name]:
        yield budget.problem(
            ("spec", name),
            f"{name}: {budget.spec[name]} blocks every eviction",
            "set maxUnavailable: 1",
        )


@rule(
    id="pdb-below-minimum-replicas",
    title="minAvailable is below the number of replicas",
    severity="error",
    rationale=(
        "With minAvailable equal to the replicas (or the autoscaler's minimum) no pod may go."
    ),
    references=[_DOCS],
    kinds=[PDB],
    known_as=[
        "kube-linter:pdb-min-available",
        "polaris:pdbMinAvailableGreaterThanHPAMinReplicas",
        "polaris:pdbMinAvailableEqualToHPAMinReplicas",
        "polaris:pdbMinAvailableGreaterThanHPAMaxReplicas",
        "kyverno:pdb-minavailable",
        "gatekeeper:poddisruptionbudget",
        "gatekeeper:k8spoddisruptionbudget",
    ],
)
def pdb_below_minimum_replicas(budget: Resource, world: World) -> Iterator[Problem]:
    """minAvailable (a percentage rounded up) is smaller than the fewest replicas.

    Nothing is said where Git leaves the count of a workload to an autoscaler elsewhere, nor of
    workloads that are turned off.
    """
    wanted = field(budget.spec, "minAvailable")
    if wanted is None or wanted in _NEVER["minAvailable"]:
        return
    workloads = covered(budget, world)
    scales = [scale(workload, world) for workload in workloads]
    fewest = sum(max(found.minimum, 1 if found.autoscaler else 0) for found in scales)
    kept = share(wanted, fewest)
    known = fewest > 0 and all(found.written for found in scales)
    if known and kept is not None and kept >= fewest:
        names = ", ".join(f"{workload.kind} {workload.name!r}" for workload in workloads)
        yield budget.problem(
            ("spec", "minAvailable"),
            f"{wanted} of {names}, which may run only {fewest}",
            "set maxUnavailable: 1 instead",
        )


@rule(
    id="pdb-keeps-pods",
    title="A PodDisruptionBudget keeps some pods",
    severity="warning",
    rationale="A budget that lets all pods go at once is none.",
    references=[_DOCS],
    kinds=[PDB],
)
def pdb_keeps_pods(budget: Resource, world: World) -> Iterator[Problem]:
    """maxUnavailable is less than the fewest replicas, if several run; minAvailable is not 0."""
    scales = [scale(workload, world) for workload in covered(budget, world)]
    fewest = sum(found.minimum for found in scales)
    most = share(field(budget.spec, "maxUnavailable"), fewest)
    if field(budget.spec, "minAvailable") in (0, "0", "0%"):
        yield budget.problem(
            ("spec", "minAvailable"), "no pod is kept", "set maxUnavailable: 1 instead"
        )
    elif most is not None and fewest > 1 and most >= fewest:
        yield budget.problem(
            ("spec", "maxUnavailable"), f"all {fewest} pods may go at once", "set maxUnavailable: 1"
        )


@rule(
    id="pdb-evicts-unhealthy-pods",
    title="Pods that are not ready may be evicted",
    severity="warning",
    rationale="By default a budget also protects crashing pods, and the drain waits for ever.",
    references=[_DOCS + "#unhealthy-pod-eviction-policy"],
    kinds=[PDB],
    known_as=["kube-linter:pdb-unhealthy-pod-eviction-policy"],
)
def pdb_evicts_unhealthy_pods(budget: Resource) -> Iterator[Problem]:
    """`unhealthyPodEvictionPolicy` is written."""
    if field(budget.spec, _UNHEALTHY) is None:
        yield budget.problem(
            ("spec", _UNHEALTHY),
            "pods that never become ready block a drain",
            f"set {_UNHEALTHY}: AlwaysAllow",
        )


@rule(
    id="pdb-always-evicts-unhealthy-pods",
    title="Pods that are not ready may always be evicted",
    severity="warning",
    rationale="IfHealthyBudget, the default, keeps crashing pods of a broken workload on a node.",
    references=[_DOCS + "#unhealthy-pod-eviction-policy"],
    kinds=[PDB],
)
def pdb_always_evicts_unhealthy_pods(budget: Resource) -> Iterator[Problem]:
    """`unhealthyPodEvictionPolicy`, where it is written, is AlwaysAllow."""
    written = field(budget.spec, _UNHEALTHY)
    if written not in (None, "AlwaysAllow"):
        yield budget.problem(
            ("spec", _UNHEALTHY),
            f"{written} protects pods that are not ready",
            f"set {_UNHEALTHY}: AlwaysAllow",
        )
