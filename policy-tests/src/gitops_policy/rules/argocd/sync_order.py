"""The order of a sync: what is needed comes first, and nothing waits for what comes later."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.applications import APPLICATION, rendered, sources
from gitops_policy.argo.sync_waves import HOOK, WAVE, hooks, moments, needs, wave
from gitops_policy.fields import mapping, text
from gitops_policy.findings import Severity
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import BUILD, EVERY, rule
from gitops_policy.world import World

_WAVES = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/"
_HEALTH = "https://argo-cd.readthedocs.io/en/stable/operator-manual/health/"
_PHASES = ("PreSync", "Sync", "PostSync")
_DELETE_POLICY = "argocd.argoproj.io/hook-delete-policy"


@rule(
    id="sync-order",
    title="What an object needs is synced before it",
    severity="error",
    rationale="A wave waits until it is healthy: one that needs a later wave waits for ever.",
    references=[_WAVES],
    kinds=BUILD,
)
def sync_order(world: World) -> Iterator[Problem]:
    """CRDs, namespaces, accounts, settings, Secrets and templates come no later than their users.

    Phases count first: a PreSync Job that reads a ConfigMap of the Sync phase fails at first.
    """
    for resource in world.index.resources:
        own = moments(resource)
        for need in needs(resource, world) if own else ():
            first = moments(need.producer)[:1]
            if need.producer is resource or not first or first[0] <= own[0]:
                continue
            yield resource.problem(
                need.path,
                f"{need.producer.id} comes in {_shown(first[0])}, after {_shown(own[0])}",
                "put what is needed into the same phase and wave, or an earlier one",
            )


def _shown(moment: tuple[int, int]) -> str:
    return f"{_PHASES[moment[0]]} wave {moment[1]}"


@rule(
    id="migration-before-rollout",
    title="A hook Job runs before the Rollout, not beside it",
    severity="error",
    rationale="A migration that starts with the new pods is seen half done by their first users.",
    references=[_WAVES],
    kinds=["batch/Job"],
)
def migration_before_rollout(job: Resource, world: World) -> Iterator[Problem]:
    """A Job that is a Sync hook is in an earlier wave than the Rollouts; PreSync is earlier."""
    if "Sync" not in hooks(job):
        return
    for rollout in world.index.of_kind("argoproj.io/Rollout"):
        if rollout.namespace == job.namespace and wave(job) >= wave(rollout):
            yield job.problem(
                ("metadata", "annotations", HOOK),
                f"it runs in wave {wave(job)}, beside Rollout {rollout.name!r} or after it",
                "make it a PreSync hook",
            )


@rule(
    id="hook-delete-policy",
    title="A hook says when it is deleted",
    severity="info",
    rationale="A finished hook stays and looks current; with generateName each sync adds one.",
    references=[_WAVES],
    kinds=EVERY,
)
def hook_delete_policy(resource: Resource) -> Iterator[Problem]:
    """hook-delete-policy is set; with generateName its absence is a warning."""
    if not any(name in _PHASES for name in hooks(resource)):
        return
    if not resource.annotations.get(_DELETE_POLICY):
        named = bool(text(resource.content, "metadata", "name"))
        yield resource.problem(
            ("metadata", "annotations", _DELETE_POLICY),
            "it stays until the next sync" if named else "every sync adds another one",
            "set BeforeHookCreation or HookSucceeded",
            severity=None if named else Severity.warning,
        )


@rule(
    id="application-waves-wait",
    title="Argo CD knows when an Application is healthy",
    severity="error",
    rationale="Without a health check each Application is healthy at once: waves do nothing.",
    references=[_HEALTH + "#argocd-app"],
    kinds=BUILD,
)
def application_waves_wait(world: World) -> Iterator[Problem]:
    """Where Applications have waves, argocd-cm holds a health check for Applications.

    It is information where the ConfigMap is nowhere in the repository.
    """
    applications = world.index.of_kind(APPLICATION)
    if len({wave(application) for application in applications}) < 2:
        return
    found = list(_config_maps(world))
    if any(_checks_applications(settings) for settings in found):
        return
    late = max(applications, key=wave)
    yield late.problem(
        ("metadata", "annotations", WAVE),
        "it does not wait for the Applications of earlier waves",
        "add resource.customizations.health.argoproj.io_Application to argocd-cm",
        severity=None if found else Severity.info,
    )


def _config_maps(world: World) -> Iterator[dict[str, object]]:
    builds = [world.build]
    for application in world.index.of_kind(APPLICATION):
        for path, source in sources(application):
            build = rendered(world, text(source, "path"), mapping(application.content, *path))
            builds += [build] if build else []
    for build in builds:
        for document in build.documents:
            content = mapping(document.content)
            kind, name = text(content, "kind"), text(content, "metadata", "name")
            if (kind, name) == ("ConfigMap", "argocd-cm"):
                yield mapping(content, "data")


def _checks_applications(settings: dict[str, object]) -> bool:
    if text(settings, "resource.customizations.health.argoproj.io_Application"):
        return True
    return "argoproj.io/Application" in text(settings, "resource.customizations")
