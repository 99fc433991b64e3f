"""How many pods a workload runs: its own count, its autoscaler, and a release on top."""

from __future__ import annotations

from dataclasses import dataclass

from gitops_policy.fields import field, mapping, text
from gitops_policy.model import Resource
from gitops_policy.pods import Pod
from gitops_policy.quantities import share
from gitops_policy.world import World, once

HPA = "autoscaling/HorizontalPodAutoscaler"
SCALED_OBJECT = "keda.sh/ScaledObject"
SCALABLE = ("apps/Deployment", "apps/StatefulSet", "argoproj.io/Rollout")


@dataclass(frozen=True, slots=True)
class Scale:
    """Fewest and most pods in service, and the autoscaler that decides between them."""

    minimum: int
    maximum: int
    autoscaler: Resource | None = None


def count(value: object, default: int) -> int:
    """Read a whole number; `default` for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def target(autoscaler: Resource) -> tuple[str, str]:
    """Return `group/Kind` and name of what an autoscaler scales."""
    reference = mapping(autoscaler.spec, "scaleTargetRef")
    kind, version = text(reference, "kind"), text(reference, "apiVersion")
    if autoscaler.group_kind == SCALED_OBJECT:
        kind, version = kind or "Deployment", version or "apps/v1"
    group = version.rpartition("/")[0]
    return (f"{group}/{kind}" if group else kind), text(reference, "name")


def bounds(autoscaler: Resource) -> tuple[int, int]:
    """Return an autoscaler's minimum and maximum with the defaults of its kind."""
    if autoscaler.group_kind == SCALED_OBJECT:
        low, high = "minReplicaCount", "maxReplicaCount"
        return count(field(autoscaler.spec, low), 0), count(field(autoscaler.spec, high), 100)
    low, high = "minReplicas", "maxReplicas"
    return count(field(autoscaler.spec, low), 1), count(field(autoscaler.spec, high), 1)


def autoscalers(workload: Resource, world: World) -> list[Resource]:
    """Return the autoscalers of the build that scale this workload."""
    return _autoscalers(world).get((workload.namespace, workload.group_kind, workload.name), [])


@once
def _autoscalers(world: World) -> dict[tuple[str, str, str], list[Resource]]:
    found: dict[tuple[str, str, str], list[Resource]] = {}
    for autoscaler in world.index.of_kind(HPA, SCALED_OBJECT):
        found.setdefault((autoscaler.namespace, *target(autoscaler)), []).append(autoscaler)
    return found


def scale(workload: Resource, world: World) -> Scale:
    """Return how many pods the workload has in service."""
    for found in autoscalers(workload, world):
        low, high = bounds(found)
        return Scale(low, max(low, high), found)
    own = count(field(workload.spec, "replicas"), 1)
    return Scale(own, own)


def workload_of(pod: Pod, world: World) -> Resource:
    """Return what runs the pod: the Rollout where one refers to a Deployment's template."""
    return _runners(world).get(pod.resource, pod.resource)


@once
def _runners(world: World) -> dict[Resource, Resource]:
    """Return the Rollout for each object whose template it refers to."""
    found: dict[Resource, Resource] = {}
    for rollout in world.index.of_kind("argoproj.io/Rollout"):
        for pod in world.pods_of(rollout):
            if pod.resource is not rollout:
                found.setdefault(pod.resource, rollout)
    return found


def release_pods(workload: Resource, replicas: int) -> int:
    """Return the most pods that exist while `replicas` are released.

    With traffic routing stable stays whole beside a whole canary (Argo Rollouts keeps it until
    `scaleDownDelaySeconds` after the promotion); otherwise `maxSurge`, 25 % unless set.
    """
    strategy = mapping(workload.spec, "strategy")
    if workload.group_kind == "argoproj.io/Rollout":
        canary = mapping(strategy, "canary")
        if "blueGreen" in strategy or "trafficRouting" in canary:
            return 2 * replicas
        surge = field(canary, "maxSurge")
    elif workload.group_kind == "apps/Deployment":
        if text(strategy, "type") == "Recreate":
            return replicas
        surge = field(strategy, "rollingUpdate", "maxSurge")
    else:
        return replicas
    return replicas + (share("25%" if surge is None else surge, replicas) or 0)
