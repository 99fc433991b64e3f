"""How pods end: restart policies and preStop hooks."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.apis.kinds import LONG_RUNNING
from gitops_policy.fields import mapping, quoted
from gitops_policy.kubernetes.selectors import services_of
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

_RESTART = "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy"
_HOOKS = "https://kubernetes.io/docs/concepts/containers/container-lifecycle-hooks/"
_TERMINATION = "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination"
_JOBS = (
    "batch/Job",
    "batch/CronJob",
    "argoproj.io/AnalysisTemplate",
    "argoproj.io/ClusterAnalysisTemplate",
    "keda.sh/ScaledJob",
    "jobset.x-k8s.io/JobSet",
    "Job",
    "CronJob",
)


@rule(
    id="restart-policy",
    title="The restart policy fits the kind",
    severity="error",
    rationale="The API server refuses the object, mostly long after the merge.",
    references=[_RESTART],
    kinds=[*_JOBS, *sorted(LONG_RUNNING)],
    known_as="kube-score:cronjob-restartpolicy datree:10",
)
def restart_policy(resource: Resource, world: World) -> Iterator[Problem]:
    """Jobs say Never or OnFailure; everything else is Always. KEDA fills in OnFailure."""
    for pod in world.templates_in(resource):
        policy = pod.spec.get("restartPolicy")
        if resource.group_kind in _JOBS:
            allowed: tuple[object, ...] = ("Never", "OnFailure")
        else:
            allowed = (None, "Always")
        if resource.group_kind == "keda.sh/ScaledJob" and policy is None:
            continue
        if policy not in allowed:
            yield pod.problem(
                ("restartPolicy",),
                f"restartPolicy is {quoted(policy)}, which a {resource.kind} does not allow",
                f"use {allowed[-1]}",
            )


@rule(
    id="restart-policy-never",
    title="Containers are restarted when they fail",
    severity="info",
    rationale="Contested: for a Job Never is right where each attempt is to be a pod of its own.",
    references=[_RESTART],
    kinds=PODS,
    known_as="kube-linter:restart-policy",
    default=False,
)
def restart_policy_never(pod: Pod) -> Iterator[Problem]:
    """restartPolicy is Always or OnFailure."""
    policy = pod.spec.get("restartPolicy")
    if policy not in (None, "Always", "OnFailure"):
        yield pod.problem(
            ("restartPolicy",),
            f"restartPolicy {policy!r} restarts nothing",
            "use OnFailure in a Job, Always elsewhere",
        )


@rule(
    id="pre-stop",
    title="Servers behind a Service wait before they stop",
    severity="warning",
    rationale="A pod is told to stop while proxies still send to it; a pause in preStop covers it.",
    references=[_HOOKS, _TERMINATION],
    kinds=CONTAINERS,
    known_as="datree:60",
)
def pre_stop(container: Container, world: World) -> Iterator[Problem]:
    """Containers with ports of a pod that a Service selects have a preStop hook.

    Where no container declares ports, each has. Sidecars end after the others anyway.
    """
    siblings = [c for c in container.pod.containers if c.group == "containers"]
    serves = container.spec.get("ports") or not any(c.spec.get("ports") for c in siblings)
    ordinary = container.long_running and not container.sidecar
    if ordinary and serves and not _hook(container) and services_of(container.pod, world):
        yield container.problem(
            ("lifecycle", "preStop"),
            "serves and has no preStop hook",
            "add lifecycle.preStop.sleep for the seconds until no proxy sends to it any more",
        )


@rule(
    id="pre-stop-everywhere",
    title="Containers have a preStop hook",
    severity="info",
    rationale="Of taste: a program that handles SIGTERM and serves nobody needs none.",
    references=[_HOOKS],
    kinds=CONTAINERS,
    known_as="datree:60",
    default=False,
)
def pre_stop_everywhere(container: Container) -> Iterator[Problem]:
    """Every ordinary container has a hook."""
    if container.group == "containers" and not _hook(container):
        yield container.problem(("lifecycle", "preStop"), "has no preStop hook", "add one")


def _hook(container: Container) -> bool:
    hook = mapping(container.spec, "lifecycle", "preStop")
    return any(key in hook for key in ("exec", "httpGet", "sleep", "tcpSocket"))
