"""Arithmetic of starting and stopping."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.kubernetes.request_limits import longest_request, published
from gitops_policy.kubernetes.scaling import count
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

_TERMINATION = "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination"
_PROBES = "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#container-probes"
LOAD_SECONDS = "policy.gitops/load-seconds"


@rule(
    id="shutdown-fits-grace-period",
    title="A pod can finish its requests before it is killed",
    severity="error",
    rationale="The grace period starts with the preStop hook; what it does not cover is cut off.",
    references=[_TERMINATION],
    kinds=PODS,
)
def shutdown_fits_grace_period(pod: Pod, world: World) -> Iterator[Problem]:
    """preStop + the server's own drain (or the longest request) + margin fit the grace period."""
    if not pod.long_running:
        return
    grace = count(field(pod.spec, "terminationGracePeriodSeconds"), 30)
    longest = longest_request(pod, world)
    for container in pod.containers:
        if not container.long_running:
            continue
        drain = _drain(container, world.config.shutdown_settings)
        if not drain and not longest:
            continue
        needed = pre_stop_seconds(container) + max(drain, longest) + world.config.shutdown_margin
        if needed > grace:
            yield pod.problem(
                ("terminationGracePeriodSeconds",),
                f"container {container.name!r} needs {needed:g} s to stop"
                f" (preStop {pre_stop_seconds(container):g}, drain {max(drain, longest):g},"
                f" margin {world.config.shutdown_margin}), it gets {grace}",
                f"set terminationGracePeriodSeconds to {needed:g} or more",
            )


def pre_stop_seconds(container: Container) -> float:
    """Return how long a preStop hook sleeps; 0 where it does not."""
    hook = mapping(container.spec, "lifecycle", "preStop")
    pause = field(hook, "sleep", "seconds")
    if isinstance(pause, int):
        return pause
    command = " ".join(str(part) for part in sequence(hook, "exec", "command"))
    match = re.search(r"\bsleep\s+(\d+)", command)
    return int(match.group(1)) if match else 0


def _drain(container: Container, settings: tuple[str, ...]) -> float:
    values = (
        text(variable, "value")
        for _, variable in entries(container.spec, "env")
        if text(variable, "name") in settings
    )
    return sum(float(value) for value in values if re.fullmatch(r"\d+(\.\d+)?", value))


def _budget(probe: dict[str, object]) -> int:
    delay = count(field(probe, "initialDelaySeconds"), 0)
    times = count(field(probe, "failureThreshold"), 3)
    return delay + times * count(field(probe, "periodSeconds"), 10)


@rule(
    id="startup-fits-progress-deadline",
    title="A rollout waits longer than its pods may take to start",
    severity="error",
    rationale="A shorter deadline aborts good releases whose pods were still allowed to start.",
    references=["https://argoproj.github.io/argo-rollouts/features/specification/", _PROBES],
    kinds=["apps/Deployment", "argoproj.io/Rollout"],
)
def startup_fits_progress_deadline(workload: Resource, world: World) -> Iterator[Problem]:
    """progressDeadlineSeconds exceeds the startup probes' budget plus minReadySeconds.

    Sidecars start one after the other, then the ordinary containers together.
    """
    deadline = count(field(workload.spec, "progressDeadlineSeconds"), 600)
    ready = count(field(workload.spec, "minReadySeconds"), 0)
    for pod in world.pods_of(workload):
        budgets = {
            container: _budget(probe)
            for container in pod.containers
            if (probe := mapping(container.spec, "startupProbe"))
        }
        first = sum(budget for container, budget in budgets.items() if container.sidecar)
        longest = first + max((b for c, b in budgets.items() if not c.sidecar), default=0)
        if budgets and deadline <= longest + ready:
            yield workload.problem(
                ("spec", "progressDeadlineSeconds"),
                f"{deadline} s, but a pod may take {longest + ready} s to become available",
                "raise it well above the startup probe's budget (images are pulled in it too)",
            )


@rule(
    id="startup-covers-load-time",
    title="Probes give a container the time that it declares to need",
    severity="error",
    rationale="A liveness probe that fires during the model's load restarts the pod for ever.",
    references=[_PROBES],
    kinds=CONTAINERS,
)
def startup_covers_load_time(container: Container) -> Iterator[Problem]:
    """The startup probe (else the liveness probe) outlasts `policy.gitops/load-seconds`.

    Sidecars load no model.
    """
    declared = text(container.pod.annotations, LOAD_SECONDS)
    name = "startupProbe" if mapping(container.spec, "startupProbe") else "livenessProbe"
    probe = mapping(container.spec, name)
    loads = container.group == "containers" and re.fullmatch(r"[0-9]{1,9}", declared)
    if loads and probe and _budget(probe) < int(declared):
        yield container.problem(
            (name,),
            f"gives up after {_budget(probe)} s, loading takes up to {declared} s",
            "raise failureThreshold of the startupProbe",
        )


@rule(
    id="probe-timeout-within-period",
    title="A probe ends before the next one starts",
    severity="warning",
    rationale=(
        "A timeout longer than the period makes a slow pod look healthy for longer than said."
    ),
    references=[_PROBES],
    kinds=CONTAINERS,
)
def probe_timeout_within_period(container: Container) -> Iterator[Problem]:
    """timeoutSeconds is at most periodSeconds."""
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = mapping(container.spec, name)
        timeout = count(field(probe, "timeoutSeconds"), 1)
        period = count(field(probe, "periodSeconds"), 10)
        if probe and timeout > period:
            yield container.problem(
                (name, "timeoutSeconds"),
                f"timeout {timeout} s, period {period} s",
                "make the timeout the period or less",
            )


@rule(
    id="pre-stop-covers-deregistration",
    title="A server waits until load balancers have let it go",
    severity="warning",
    rationale=(
        "A pod that ends is taken out of the load balancers at the same time, not before: without"
        " a pause new requests arrive at a server that is gone."
    ),
    references=[
        "https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#pod-termination-flow"
    ],
    kinds=CONTAINERS,
)
def pre_stop_covers_deregistration(container: Container, world: World) -> Iterator[Problem]:
    """A preStop that sleeps, does so for `Config.deregistration_seconds` behind a route."""
    pause, needed = pre_stop_seconds(container), world.config.deregistration_seconds
    behind = container.long_running and published(container.pod, world)
    if behind and 0 < pause < needed:
        yield container.problem(
            ("lifecycle", "preStop"),
            f"it sleeps {pause:g} s, deregistration takes up to {needed}",
            f"sleep {needed} s or more",
        )
