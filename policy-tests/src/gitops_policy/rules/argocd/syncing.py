"""What Argo CD reads from the objects that it syncs."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.argo.sync_waves import HOOK, WAVE
from gitops_policy.fields import entries, mapping, text
from gitops_policy.kubernetes.gateway_routes import GATEWAY, backends
from gitops_policy.kubernetes.producers import references
from gitops_policy.kubernetes.scaling import autoscalers
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import EVERY, rule
from gitops_policy.world import World, once

_WAVES = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-waves/"
_SYNC = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/"
_OPTIONS = "argocd.argoproj.io/sync-options"
_COMPARE = "argocd.argoproj.io/compare-options"


@rule(
    id="sync-wave-integer",
    title="A sync wave is a whole number",
    severity="error",
    rationale="Argo CD reads any other text as wave 0, silently.",
    references=[_WAVES],
    kinds=EVERY,
    known_as=["argocd-source-lint:malformed-sync-wave"],
)
def sync_wave_integer(resource: Resource) -> Iterator[Problem]:
    """The annotation is a string such as "-1", "0", "5"."""
    wave = resource.annotations.get(WAVE)
    if wave is not None and not (isinstance(wave, str) and re.fullmatch(r"[+-]?\d+", wave)):
        yield resource.problem(
            ("metadata", "annotations", WAVE), f"{wave!r} is no whole number", 'write "0"'
        )


@rule(
    id="rollout-in-one-wave",
    title="A Rollout, its Services, route and autoscaler sync in one wave",
    severity="error",
    rationale=(
        "A second wave waits until the Rollout is Healthy: a revert waits behind a bad canary."
    ),
    references=[_WAVES],
    kinds=["argoproj.io/Rollout"],
)
def rollout_in_one_wave(rollout: Resource, world: World) -> Iterator[Problem]:
    """They carry the same sync wave, or none."""
    canary = mapping(rollout.spec, "strategy", "canary")
    names = {text(canary, "stableService"), text(canary, "canaryService")}
    named = ((rollout.namespace, name) for name in sorted(names))
    routes = {route: None for place in named for route in _routes(world).get(place, ())}
    found = (world.index.get("Service", rollout.namespace, name) for name in sorted(names))
    services = [service for service in found if service is not None]
    for other in [*services, *routes, *autoscalers(rollout, world)]:
        wave = str(other.annotations.get(WAVE, "0"))
        if wave != _wave(rollout):
            yield other.problem(
                ("metadata", "annotations", WAVE),
                f"wave {wave}, its Rollout is in wave {_wave(rollout)}",
                "remove the annotation from both",
            )


def _wave(resource: Resource) -> str:
    return str(resource.annotations.get(WAVE, "0"))


@rule(
    id="no-post-sync-hook",
    title="No PostSync hook beside a Rollout",
    severity="error",
    rationale=(
        "A PostSync hook holds the sync open until the canary has ended; use an analysis job."
    ),
    references=["https://argo-cd.readthedocs.io/en/stable/user-guide/resource_hooks/"],
    kinds=EVERY,
)
def no_post_sync_hook(resource: Resource, world: World) -> Iterator[Problem]:
    """No object of a build with a Rollout is a PostSync hook."""
    hook = str(resource.annotations.get(HOOK, ""))
    if "PostSync" in hook and world.index.of_kind("argoproj.io/Rollout"):
        yield resource.problem(
            ("metadata", "annotations", HOOK),
            "it holds the sync open until the canary has ended",
            "make it the job of an AnalysisTemplate",
        )


@rule(
    id="generated-config-survives",
    title="Argo CD does not prune the ConfigMap of the previous release",
    severity="error",
    rationale="Pruned within seconds, it is missing when a pod of the stable release restarts.",
    references=[_SYNC + "#no-prune-resources"],
    kinds=["ConfigMap"],
)
def generated_config_survives(resource: Resource, world: World) -> Iterator[Problem]:
    """A hashed ConfigMap that a Rollout's pods read is kept, and not shown as OutOfSync."""
    if not _generated(resource, world):
        return
    readers = _read_by_rollouts(world)
    wanted = ((_OPTIONS, "Prune=false"), (_COMPARE, "IgnoreExtraneous"))
    for annotation, value in wanted if (resource.namespace, resource.name) in readers else ():
        if value not in str(resource.annotations.get(annotation, "")).split(","):
            yield resource.problem(
                ("metadata", "annotations", annotation),
                f"the previous release's copy would be {_CONSEQUENCE[value]}",
                f"set {value} in the generator's options",
            )


_CONSEQUENCE = {"Prune=false": "pruned at once", "IgnoreExtraneous": "shown as OutOfSync for ever"}


@once
def _routes(world: World) -> dict[tuple[str, str], list[Resource]]:
    """Return the routes of each namespace by the backends they name."""
    found: dict[tuple[str, str], list[Resource]] = {}
    for route in world.index.of_kind(f"{GATEWAY}/HTTPRoute"):
        for name in {text(backend, "name") for _, backend in backends(route)}:
            found.setdefault((route.namespace, name), []).append(route)
    return found


@once
def _read_by_rollouts(world: World) -> set[tuple[str, str]]:
    return {
        (pod.resource.namespace, reference.name)
        for rollout in world.index.of_kind("argoproj.io/Rollout")
        for pod in world.pods_of(rollout)
        for reference in references(pod)
        if reference.kind == "ConfigMap"
    }


def _generated(resource: Resource, world: World) -> bool:
    names = {
        text(item, "name")
        for kustomization in world.build.tree.kustomizations
        for _, item in entries(kustomization.source.content, "configMapGenerator")
    }
    base, _, end = resource.name.rpartition("-")
    return base in names and bool(re.fullmatch(r"[a-z0-9]{10}", end))
