"""PodDisruptionBudgets and the workloads they cover."""

from __future__ import annotations

from gitops_policy.fields import mapping
from gitops_policy.kubernetes.scaling import SCALABLE, workload_of
from gitops_policy.kubernetes.selectors import Selecting, matches, selected
from gitops_policy.model import Resource
from gitops_policy.pods import Pod
from gitops_policy.world import World, once

PDB = "policy/PodDisruptionBudget"


def chosen(budget: Resource) -> dict[str, object]:
    """Return the selector of a budget."""
    return mapping(budget.spec, "selector")


def selects_any(budget: Resource) -> bool:
    """Say whether a budget can select a pod.

    One without selector selects none; an empty selector means all since policy/v1, none before.
    """
    if budget.version == "v1beta1":
        return any(chosen(budget).values())
    return isinstance(budget.spec.get("selector"), dict)


@once
def _budgets(world: World) -> Selecting:
    return Selecting([b for b in world.index.of_kind(PDB) if selects_any(b)], chosen)


def budgets_of(pod: Pod, world: World) -> list[Resource]:
    """Return the budgets that select a pod, by name."""
    found = _budgets(world).of(pod.resource.namespace, pod.labels)
    return sorted(found, key=lambda budget: budget.name)


def covered(budget: Resource, world: World) -> list[Resource]:
    """Return the workloads with a number of replicas whose pods a budget selects.

    A workload whose template says no labels is found by its own selector.
    """
    if not selects_any(budget):
        return []
    pods = selected(world, budget.namespace, chosen(budget))
    found = {workload_of(pod, world): None for pod in pods}
    for workload in _bare(world):
        labels = mapping(workload.spec, "selector", "matchLabels")
        if workload.namespace == budget.namespace and matches(chosen(budget), labels):
            found[workload] = None
    return [workload for workload in found if workload.group_kind in SCALABLE]


@once
def _bare(world: World) -> list[Resource]:
    return [
        workload
        for workload in world.index.of_kind(*SCALABLE)
        if not world.pods_of(workload) and mapping(workload.spec, "selector", "matchLabels")
    ]
