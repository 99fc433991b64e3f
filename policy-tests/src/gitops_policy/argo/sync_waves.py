"""When Argo CD applies an object: its phase and wave, and what it needs to be there before."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from gitops_policy.argo.analyses import CLUSTER_TEMPLATE, TEMPLATE, analyses
from gitops_policy.fields import Path, entries, text
from gitops_policy.kubernetes.producers import references, secret_sources
from gitops_policy.model import Resource
from gitops_policy.pods import Pod
from gitops_policy.world import World, once

WAVE = "argocd.argoproj.io/sync-wave"
HOOK = "argocd.argoproj.io/hook"
HOOKS = ("PreSync", "Sync", "PostSync", "SyncFail", "PreDelete", "PostDelete", "Skip")
_PHASES = {"PreSync": 0, "Sync": 1, "PostSync": 2}
_BINDINGS = (
    "rbac.authorization.k8s.io/RoleBinding",
    "rbac.authorization.k8s.io/ClusterRoleBinding",
)
_ISSUERS = {"Issuer": "cert-manager.io/Issuer", "ClusterIssuer": "cert-manager.io/ClusterIssuer"}

# Their jobs run when a step of a Rollout asks: what these read may come with the Rollout.
_RUN_LATER = (TEMPLATE, CLUSTER_TEMPLATE)

Moment = tuple[int, int]


@dataclass(frozen=True, slots=True)
class Need:
    """What an object needs to be there first, and the place where it says so."""

    path: Path
    producer: Resource


def wave(resource: Resource) -> int:
    """Return an object's sync wave; like Argo CD, 0 for anything that is no whole number."""
    value = str(resource.annotations.get(WAVE, "0"))
    return int(value) if re.fullmatch(r"[+-]?\d{1,9}", value) else 0


def hooks(resource: Resource) -> list[str]:
    """Return the hooks that an object names."""
    named = str(resource.annotations.get(HOOK, "")).split(",")
    return [name.strip() for name in named if name.strip()]


def moments(resource: Resource) -> list[Moment]:
    """Return phase and wave of each time that a sync applies an object; empty for none."""
    named = hooks(resource)
    phases = {_PHASES[name] for name in named if name in _PHASES}
    if not any(name in HOOKS for name in named):
        phases = {_PHASES["Sync"]}
    return sorted((phase, wave(resource)) for phase in phases)


def needs(resource: Resource, world: World) -> Iterator[Need]:
    """Yield what an object needs, of what the build itself renders."""
    if found := world.index.get("Namespace", "", resource.namespace):
        yield Need(("metadata", "namespace"), found)
    if definition := _definitions(world).get((resource.group, resource.kind)):
        yield Need(("kind",), definition)
    if resource.group_kind not in _RUN_LATER:
        for pod in world.pods_of(resource):
            if pod.resource is resource:
                yield from _of_pod(pod, world)
    yield from _of_kind(resource, world)


def _of_pod(pod: Pod, world: World) -> Iterator[Need]:
    namespace = pod.resource.namespace
    account = text(pod.spec, "serviceAccountName")
    if found := world.index.get("ServiceAccount", namespace, account):
        yield Need(pod.at("serviceAccountName"), found)
    for binding in _bindings(world).get((namespace, account), ()):
        yield Need(pod.at("serviceAccountName"), binding)
    for reference in references(pod):
        if reference.optional:
            continue
        found = world.index.get(reference.kind, namespace, reference.name)
        if found is None and reference.kind == "Secret":
            found = next(iter(secret_sources(world).get((namespace, reference.name), ())), None)
        if found:
            yield Need(pod.at(*reference.path), found)


@once
def _definitions(world: World) -> dict[tuple[str, str], Resource]:
    definitions = world.index.of_kind("apiextensions.k8s.io/CustomResourceDefinition")
    return {(text(d.spec, "group"), text(d.spec, "names", "kind")): d for d in definitions}


@once
def _bindings(world: World) -> dict[tuple[str, str], list[Resource]]:
    """Return the bindings of each ServiceAccount, by its namespace and name."""
    found: dict[tuple[str, str], list[Resource]] = defaultdict(list)
    for binding in world.index.of_kind(*_BINDINGS):
        for _, subject in entries(binding.content, "subjects"):
            if text(subject, "kind") == "ServiceAccount" and text(subject, "name"):
                place = text(subject, "namespace") or binding.namespace
                found[(place, text(subject, "name"))].append(binding)
    return found


def _of_kind(resource: Resource, world: World) -> Iterator[Need]:
    if resource.group_kind == "argoproj.io/Rollout":
        for analysis in analyses(resource):
            yield from (Need(analysis.path, template) for template in analysis.templates(world))
    if resource.group_kind == "argoproj.io/Application":
        project = text(resource.spec, "project")
        found = world.index.get("argoproj.io/AppProject", resource.namespace, project)
        if found:
            yield Need(("spec", "project"), found)
    if resource.group_kind == "cert-manager.io/Certificate":
        kind = _ISSUERS.get(text(resource.spec, "issuerRef", "kind") or "Issuer", "")
        namespace = "" if kind.endswith("ClusterIssuer") else resource.namespace
        found = world.index.get(kind, namespace, text(resource.spec, "issuerRef", "name"))
        if found:
            yield Need(("spec", "issuerRef", "name"), found)
