"""How many pods a workload runs: its own count, its autoscaler, and a release on top."""

from __future__ import annotations

from dataclasses import dataclass

from gitops_policy.fields import entries, field, mapping, text
from gitops_policy.model import Resource
from gitops_policy.notations.quantities import share, share_down
from gitops_policy.pods import Pod
from gitops_policy.world import World, once

HPA = "autoscaling/HorizontalPodAutoscaler"
SCALED_OBJECT = "keda.sh/ScaledObject"
SCALABLE = (
    "apps/Deployment",
    "apps/StatefulSet",
    "apps/ReplicaSet",
    "ReplicationController",
    "argoproj.io/Rollout",
)


@dataclass(frozen=True, slots=True)
class Scale:
    """Fewest and most pods in service, and the autoscaler that decides between them.

    `written` is False where nothing in Git says a count: the API's default is 1, but an
    autoscaler elsewhere may own it.
    """

    minimum: int
    maximum: int
    autoscaler: Resource | None = None
    written: bool = True


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


def minimum_field(autoscaler: Resource) -> str:
    """Return the field of an autoscaler's spec that holds its minimum."""
    return "minReplicaCount" if autoscaler.group_kind == SCALED_OBJECT else "minReplicas"


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
    return Scale(own, own, written=field(workload.spec, "replicas") is not None)


def workload_of(pod: Pod, world: World) -> Resource:
    """Return what runs the pod: the Rollout where one refers to a Deployment's template."""
    return _runners(world).get(pod.resource, pod.resource)


def runs_elsewhere(workload: Resource, world: World) -> bool:
    """Say whether a Rollout runs this object's template, so that its own count means nothing."""
    return workload in _runners(world)


@once
def _runners(world: World) -> dict[Resource, Resource]:
    """Return the Rollout for each object whose template it refers to."""
    found: dict[Resource, Resource] = {}
    for rollout in world.index.of_kind("argoproj.io/Rollout"):
        for pod in world.pods_of(rollout):
            if pod.resource is not rollout:
                found.setdefault(pod.resource, rollout)
    return found


def surge(workload: Resource, replicas: int) -> int:
    """Return how many pods an update adds beside `replicas`: `maxSurge`, 25 % unless set."""
    strategy = mapping(workload.spec, "strategy")
    if workload.group_kind == "argoproj.io/Rollout":
        written = field(strategy, "canary", "maxSurge")
    elif workload.group_kind == "apps/Deployment" and text(strategy, "type") != "Recreate":
        written = field(strategy, "rollingUpdate", "maxSurge")
    else:
        return 0
    return share("25%" if written is None else written, replicas) or 0


def unavailable(workload: Resource, replicas: int) -> int:
    """Return how many of `replicas` an update may take away first, rounded down as it does.

    25 % unless set; a pod goes at least where nothing may be added.
    """
    strategy = mapping(workload.spec, "strategy")
    if workload.group_kind == "argoproj.io/Rollout":
        written = field(strategy, "canary", "maxUnavailable")
    elif workload.group_kind == "apps/Deployment":
        if text(strategy, "type") == "Recreate":
            return replicas
        written = field(strategy, "rollingUpdate", "maxUnavailable")
    else:
        return 1
    allowed = share_down("25%" if written is None else written, replicas) or 0
    return allowed if allowed or surge(workload, replicas) else 1


def release_pods(workload: Resource, replicas: int) -> int:
    """Return the most pods that exist while `replicas` are released.

    Blue-green runs both sets whole. With traffic routing stable stays whole (Argo Rollouts keeps
    it until `scaleDownDelaySeconds` after the promotion) beside the largest canary of the steps,
    which is a whole one: after the last step the canary is promoted at full size.
    """
    if workload.group_kind != "argoproj.io/Rollout":
        return replicas + surge(workload, replicas)
    strategy = mapping(workload.spec, "strategy")
    whole = "blueGreen" in strategy or "trafficRouting" in mapping(strategy, "canary")
    more = replicas if whole else surge(workload, replicas)
    return replicas + max(more, _experiment_pods(strategy))


def _experiment_pods(strategy: object) -> int:
    """Return the most pods that an experiment step starts beside the stable ones."""
    return max(
        (
            sum(count(t.get("replicas"), 1) for _, t in entries(step, "experiment", "templates"))
            for _, step in entries(strategy, "canary", "steps")
        ),
        default=0,
    )
