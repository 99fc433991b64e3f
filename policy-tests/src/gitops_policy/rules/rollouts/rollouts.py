"""Rollouts: valid, wired to both Services, and able to go back."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.rollout_services import services_of
from gitops_policy.argo.rollout_validation import flaws
from gitops_policy.fields import field, mapping
from gitops_policy.kubernetes.scaling import count
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_SPEC = "https://argoproj.github.io/argo-rollouts/features/specification/"
_CANARY = "https://argoproj.github.io/argo-rollouts/features/canary/"
_LINT = "argo-rollouts:lint"
_ROLLOUT = ["argoproj.io/Rollout"]
_HASH = "rollouts-pod-template-hash"


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
    """One strategy, one source of pods, and fields that the controller accepts."""
    for path, message, fix in flaws(rollout.content):
        yield rollout.problem(path, message, fix)


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
    needs_whole=True,
)
def rollout_services_exist(rollout: Resource, world: World) -> Iterator[Problem]:
    """Each named Service is in the Rollout's namespace, and no two are the same."""
    seen: set[str] = set()
    for path, name in services_of(rollout):
        if world.index.get("Service", rollout.namespace, name) is None:
            yield rollout.problem(
                path,
                f"there is no Service {name!r} in namespace {rollout.namespace!r}",
                "add the Service, or correct the name",
            )
        elif name in seen:
            yield rollout.problem(
                path, f"Service {name!r} has both roles", "use two Services"
            ).regardless()
        seen.add(name)


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
        for _, name in services_of(rollout)
        if (service := world.index.get("Service", rollout.namespace, name, near=rollout))
        and not world.apart(service, rollout)
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
