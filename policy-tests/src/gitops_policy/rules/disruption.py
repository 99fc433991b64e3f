"""PodDisruptionBudgets: drains neither stop the service nor hang."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import field, mapping
from gitops_policy.model import Problem, Resource
from gitops_policy.quantities import share
from gitops_policy.registry import rule
from gitops_policy.scaling import SCALABLE, scale, workload_of
from gitops_policy.selectors import matches, selected, selects
from gitops_policy.world import World

_PDB = "policy/PodDisruptionBudget"
_DOCS = "https://kubernetes.io/docs/tasks/run-application/configure-pdb/"
_NEVER = {"minAvailable": ("100%",), "maxUnavailable": (0, "0", "0%")}


@rule(
    id="pdb-selects-workload",
    title="A PodDisruptionBudget selects pods",
    severity="error",
    rationale="A budget without pods protects nothing.",
    references=[_DOCS],
    kinds=[_PDB],
)
def pdb_selects_workload(budget: Resource, world: World) -> Iterator[Problem]:
    """The selector matches a pod template of the budget's namespace."""
    if not selects(world, budget.namespace, mapping(budget.spec, "selector")):
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
)
def workload_has_pdb(workload: Resource, world: World) -> Iterator[Problem]:
    """Some budget of the namespace selects the pods of a workload with several replicas."""
    if scale(workload, world).minimum < 2:
        return
    budgets = [b for b in world.index.of_kind(_PDB) if b.namespace == workload.namespace]
    for pod in world.pods_of(workload):
        if not any(matches(mapping(b.spec, "selector"), pod.labels) for b in budgets):
            yield workload.problem(
                ("metadata", "name"),
                "no PodDisruptionBudget selects its pods",
                "add one with maxUnavailable: 1",
            )


@rule(
    id="pdb-one-policy",
    title="A PodDisruptionBudget sets exactly one of minAvailable and maxUnavailable",
    severity="error",
    rationale="With both the API server refuses it, with none it protects nothing.",
    references=[_DOCS],
    kinds=[_PDB],
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
    kinds=[_PDB],
    known_as=[
        "kube-linter:pdb-max-unavailable",
        "polaris:pdbDisruptionsIsZero",
        "kyverno:pdb-maxunavailable",
        "gatekeeper:k8spoddisruptionbudget",
    ],
)
def pdb_allows_evictions(budget: Resource) -> Iterator[Problem]:
    """Neither maxUnavailable 0 or 0% nor minAvailable 100%."""
    for name, blocking in _NEVER.items():
        if name in budget.spec and budget.spec[name] in blocking:
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
    kinds=[_PDB],
    known_as=[
        "kube-linter:pdb-min-available",
        "polaris:pdbMinAvailableGreaterThanHPAMinReplicas",
        "kyverno:pdb-minavailable",
    ],
)
def pdb_below_minimum_replicas(budget: Resource, world: World) -> Iterator[Problem]:
    """minAvailable (a percentage rounded up) is smaller than the fewest replicas."""
    wanted = field(budget.spec, "minAvailable")
    if wanted is None or wanted in _NEVER["minAvailable"]:
        return
    for pod in selected(world, budget.namespace, mapping(budget.spec, "selector")):
        workload = workload_of(pod, world)
        if workload.group_kind not in SCALABLE:
            continue
        fewest = scale(workload, world).minimum
        kept = share(wanted, fewest)
        if kept is not None and kept >= fewest:
            yield budget.problem(
                ("spec", "minAvailable"),
                f"{wanted} of {workload.kind} {workload.name!r}, which may run only {fewest}",
                "set maxUnavailable: 1 instead",
            )


@rule(
    id="pdb-evicts-unhealthy-pods",
    title="Pods that are not ready may be evicted",
    severity="warning",
    rationale="By default a budget also protects crashing pods, and the drain waits for ever.",
    references=[_DOCS + "#unhealthy-pod-eviction-policy"],
    kinds=[_PDB],
    known_as=["kube-linter:pdb-unhealthy-pod-eviction-policy"],
)
def pdb_evicts_unhealthy_pods(budget: Resource) -> Iterator[Problem]:
    """`unhealthyPodEvictionPolicy: AlwaysAllow`."""
    if field(budget.spec, "unhealthyPodEvictionPolicy") != "AlwaysAllow":
        yield budget.problem(
            ("spec", "unhealthyPodEvictionPolicy"),
            "pods that never become ready block a drain",
            "set unhealthyPodEvictionPolicy: AlwaysAllow",
        )
