"""Rollouts: valid, wired to both Services, and able to go back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, field, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.scaling import count
from gitops_policy.world import World

_SPEC = "https://argoproj.github.io/argo-rollouts/features/specification/"
_CANARY = "https://argoproj.github.io/argo-rollouts/features/canary/"
_LINT = "argo-rollouts:lint"
_ROLLOUT = ["argoproj.io/Rollout"]
_HASH = "rollouts-pod-template-hash"
_STEPS_PATH: Path = ("spec", "strategy", "canary", "steps")
_STEPS = {
    "setWeight",
    "pause",
    "setCanaryScale",
    "analysis",
    "experiment",
    "setHeaderRoute",
    "setMirrorRoute",
    "plugin",
    "replicaProgressThreshold",
}
_SERVICE_FIELDS = (
    ("canary", "stableService"),
    ("canary", "canaryService"),
    ("blueGreen", "activeService"),
    ("blueGreen", "previewService"),
)


@rule(
    id="rollout-valid",
    title="A Rollout has one strategy and valid steps",
    severity="error",
    rationale=(
        "The controller marks a wrong Rollout InvalidSpec and does nothing; syncs stay green."
    ),
    references=[_SPEC],
    kinds=_ROLLOUT,
    known_as=[_LINT],
)
def rollout_valid(rollout: Resource) -> Iterator[Problem]:
    """One strategy, one source of pods, and steps that the controller accepts."""
    strategy = mapping(rollout.spec, "strategy")
    if len({"canary", "blueGreen"} & set(strategy)) != 1:
        yield rollout.problem(
            ("spec", "strategy"), "not exactly one strategy is set", "set canary or blueGreen"
        )
    if ("template" in rollout.spec) is ("workloadRef" in rollout.spec):
        yield rollout.problem(
            ("spec",), "template and workloadRef: exactly one is needed", "keep one of them"
        )
    canary = mapping(strategy, "canary")
    if "trafficRouting" in canary and not {"canaryService", "stableService"} <= set(canary):
        yield rollout.problem(
            ("spec", "strategy", "canary"),
            "traffic routing needs canaryService and stableService",
            "name both Services",
        )
    if {str(canary.get(name)) for name in ("maxSurge", "maxUnavailable")} <= {"0", "0%"}:
        yield rollout.problem(
            ("spec", "strategy", "canary"),
            "maxSurge and maxUnavailable are both 0",
            "let one of them be 1",
        )
    for i, step in entries(rollout.content, *_STEPS_PATH):
        for message, fix in _step_flaws(step, "trafficRouting" in canary):
            yield rollout.problem((*_STEPS_PATH, i), message, fix)


def _step_flaws(step: dict[str, Any], routed: bool) -> Iterator[tuple[str, str]]:
    if len(step) != 1 or not set(step) <= _STEPS:
        yield f"a step is exactly one of {', '.join(sorted(_STEPS))}", "split it into two steps"
        return
    if "setWeight" in step:
        weight = step["setWeight"]
        if not isinstance(weight, int) or not 0 <= weight <= 100:
            yield f"setWeight is {weight!r}", "use a whole number from 0 to 100"
    if "setCanaryScale" in step:
        if not routed:
            yield "setCanaryScale needs trafficRouting", "remove the step"
        if len(mapping(step, "setCanaryScale")) != 1:
            yield (
                "setCanaryScale is exactly one of replicas, weight, matchTrafficWeight",
                "keep one of them",
            )


@rule(
    id="rollout-services-exist",
    title="The Services of a Rollout exist and differ",
    severity="error",
    rationale=(
        "The controller stops at a missing Service; one Service for both cannot split traffic."
    ),
    references=[_SPEC],
    kinds=_ROLLOUT,
    known_as=[_LINT],
)
def rollout_services_exist(rollout: Resource, world: World) -> Iterator[Problem]:
    """Each named Service is in the Rollout's namespace, and no two are the same."""
    seen: set[str] = set()
    for path, name in _services(rollout):
        if world.index.get("Service", rollout.namespace, name) is None:
            yield rollout.problem(
                path,
                f"there is no Service {name!r} in namespace {rollout.namespace!r}",
                "add the Service, or correct the name",
            )
        elif name in seen:
            yield rollout.problem(path, f"Service {name!r} has both roles", "use two Services")
        seen.add(name)


def _services(rollout: Resource) -> list[tuple[Path, str]]:
    return [
        (("spec", "strategy", *path), text(rollout.spec, "strategy", *path))
        for path in _SERVICE_FIELDS
        if text(rollout.spec, "strategy", *path)
    ]


@rule(
    id="rollout-service-selectors",
    title="Both Services of a Rollout select its pods, alike",
    severity="error",
    rationale=(
        "The controller only adds the hash: a selector that differs loses traffic mid-canary."
    ),
    references=[_CANARY],
    kinds=_ROLLOUT,
    known_as=[_LINT],
)
def rollout_service_selectors(rollout: Resource, world: World) -> Iterator[Problem]:
    """The selectors are equal, a subset of the template's labels, and the ports are equal."""
    services = [
        service
        for _, name in _services(rollout)
        if (service := world.index.get("Service", rollout.namespace, name))
    ]
    for service in services:
        selector = mapping(service.spec, "selector")
        plain = {key: value for key, value in selector.items() if key != _HASH}
        for pod in world.pods_of(rollout):
            if not plain or not plain.items() <= pod.labels.items():
                yield service.problem(
                    ("spec", "selector"),
                    f"it does not select the pods of Rollout {rollout.name!r}",
                    "use labels of the Rollout's pod template",
                )
        for name in ("selector", "ports"):
            if field(service.spec, name) != field(services[0].spec, name):
                yield service.problem(
                    ("spec", name),
                    f"{name} differs from that of Service {services[0].name!r}",
                    f"write the same {name} in both Services",
                )


@rule(
    id="no-pod-template-hash-in-git",
    title="No Service selects a pod template hash",
    severity="error",
    rationale="The controller owns that label; a hash in Git pins the Service to one old release.",
    references=[_CANARY],
    kinds=["Service"],
)
def no_pod_template_hash_in_git(service: Resource) -> Iterator[Problem]:
    """Selectors in Git hold neither rollouts-pod-template-hash nor pod-template-hash."""
    for label in (_HASH, "pod-template-hash"):
        if label in mapping(service.spec, "selector"):
            yield service.problem(
                ("spec", "selector", label), "a controller writes this label", "remove it"
            )


@rule(
    id="rollout-history-covers-rollback",
    title="A Rollout keeps the revisions that it may go back to",
    severity="warning",
    rationale="rollbackWindow skips the steps only for ReplicaSets that still exist.",
    references=[_SPEC, "https://argoproj.github.io/argo-rollouts/features/rollback/"],
    kinds=_ROLLOUT,
    known_as=["datree:41"],
)
def rollout_history_covers_rollback(rollout: Resource) -> Iterator[Problem]:
    """revisionHistoryLimit is at least 1, and at least rollbackWindow.revisions + 2."""
    kept = count(field(rollout.spec, "revisionHistoryLimit"), 10)
    window = count(field(rollout.spec, "rollbackWindow", "revisions"), 0)
    wanted = window + 2 if window else 1
    if kept < wanted:
        yield rollout.problem(
            ("spec", "revisionHistoryLimit"),
            f"keeps {kept} revisions, {wanted} are needed",
            f"set revisionHistoryLimit to {wanted} or more",
        )


@rule(
    id="rollout-aborts-on-deadline",
    title="A canary that never becomes ready is aborted",
    severity="warning",
    rationale="By default a Rollout past its progress deadline stays where it is, canary and all.",
    references=[_SPEC],
    kinds=_ROLLOUT,
    known_as=["datree:43"],
)
def rollout_aborts_on_deadline(rollout: Resource) -> Iterator[Problem]:
    """`progressDeadlineAbort: true`."""
    if field(rollout.spec, "progressDeadlineAbort") is not True:
        yield rollout.problem(
            ("spec", "progressDeadlineAbort"),
            "a canary that never becomes ready is not aborted",
            "set progressDeadlineAbort: true",
        )
