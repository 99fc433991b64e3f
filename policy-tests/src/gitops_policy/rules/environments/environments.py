"""Production is at least as strict as the environment where a release was tried before."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.argo.analyses import analyses
from gitops_policy.fields import Path, field, mapping, sequence
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.environments import by_key, key, pairs, rehearsal
from gitops_policy.kubernetes.scaling import SCALABLE, count, scale
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.quantities import quantity
from gitops_policy.pods import PROBES, Container
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_OVERLAYS = "https://kubernetes.io/docs/tasks/manage-kubernetes-objects/kustomization/"
_TWELVE = "https://12factor.net/dev-prod-parity"
_GUARDS = ("NetworkPolicy", "PodDisruptionBudget", "ResourceQuota", "LimitRange", "PrometheusRule")
# Field, and the value that is strict.
_STRICT: tuple[tuple[Path, Any], ...] = (
    (("runAsNonRoot",), True),
    (("readOnlyRootFilesystem",), True),
    (("allowPrivilegeEscalation",), False),
    (("seccompProfile", "type"), "RuntimeDefault"),
)


def _containers(world: World) -> Iterator[tuple[Container, Container]]:
    """Yield each container of production with its counterpart."""
    before = rehearsal(world)
    for resource, other in pairs(world):
        theirs = (
            {c.name: c for pod in before.pods_of(other) for c in pod.containers} if before else {}
        )
        for pod in world.pods_of(resource):
            for container in pod.containers:
                if container.name in theirs and pod.resource is resource:
                    yield container, theirs[container.name]


@rule(
    id="production-resources",
    title="Production has at least the resources that were tried",
    severity="error",
    rationale="What ran well with more cores and memory is throttled or killed with less.",
    references=[_TWELVE, _OVERLAYS],
    kinds=BUILD,
)
def production_resources(world: World) -> Iterator[Problem]:
    """No request or limit of a container is lower than in the environment before."""
    for container, other in _containers(world):
        for kind in ("requests", "limits"):
            for name, tried in mapping(other.spec, "resources", kind).items():
                own = quantity(field(container.spec, "resources", kind, name))
                amount = quantity(tried)
                if amount is not None and (own is None or own < amount):
                    yield container.problem(
                        ("resources", kind, name),
                        f"{kind} of {name} is below the {tried} that were tried",
                        "raise it, or lower it before production",
                    )


@rule(
    id="production-replicas",
    title="Production runs at least as many pods as were tried",
    severity="error",
    rationale="An environment that is smaller than the one before it was never tried.",
    references=[_TWELVE],
    kinds=BUILD,
)
def production_replicas(world: World) -> Iterator[Problem]:
    """Fewest and most pods, and the pods a budget keeps, are no fewer than before."""
    before = rehearsal(world)
    for resource, other in pairs(world):
        if before and resource.group_kind in SCALABLE:
            own, tried = scale(resource, world), scale(other, before)
            if own.minimum < tried.minimum or own.maximum < tried.maximum:
                subject = own.autoscaler or resource
                path: Path = ("spec", "minReplicas") if own.autoscaler else ("spec", "replicas")
                yield subject.problem(
                    path,
                    f"{own.minimum} to {own.maximum} pods, {tried.minimum} to {tried.maximum}"
                    " were tried",
                    "run at least as many",
                )
        if resource.group_kind == "policy/PodDisruptionBudget":
            kept, wanted = (count(r.spec.get("minAvailable"), 0) for r in (resource, other))
            if kept < wanted:
                yield resource.problem(
                    ("spec", "minAvailable"), f"{kept}, {wanted} before", "keep at least as many"
                )


@rule(
    id="production-probes",
    title="Production has the probes that were tried",
    severity="error",
    rationale="A pod that is not asked gets traffic before it can serve, there alone.",
    references=[_TWELVE],
    kinds=BUILD,
)
def production_probes(world: World) -> Iterator[Problem]:
    """Each probe of a container is there in production too."""
    for container, other in _containers(world):
        for name in PROBES:
            if other.spec.get(name) and not container.spec.get(name):
                yield container.problem((name,), f"{name} is missing", "add it as before")


@rule(
    id="production-hardening",
    title="Production is hardened at least as the environment before",
    severity="error",
    rationale="What is loosened for production is loosened where it matters.",
    references=[_TWELVE],
    kinds=BUILD,
)
def production_hardening(world: World) -> Iterator[Problem]:
    """No setting of the security context is looser, and no capability is kept more."""
    for container, other in _containers(world):
        for path, strict in _STRICT:
            if other.inherited(*path) == strict and container.inherited(*path) != strict:
                yield container.problem(
                    ("securityContext", *path), f"it is not {strict}", "set it as before"
                )
        dropped = set(map(str, sequence(other.spec, "securityContext", "capabilities", "drop")))
        own = set(map(str, sequence(container.spec, "securityContext", "capabilities", "drop")))
        if not dropped <= own and "ALL" not in own:
            yield container.problem(
                ("securityContext", "capabilities", "drop"),
                f"{', '.join(sorted(dropped - own))} is kept",
                "drop it as before",
            )


@rule(
    id="production-gates",
    title="A release has the gates in production that it had before",
    severity="error",
    rationale="A gate that stands only before production does not protect production.",
    references=[_TWELVE],
    kinds=BUILD,
)
def production_gates(world: World) -> Iterator[Problem]:
    """A Rollout asks every AnalysisTemplate that it asks in the environment before.

    The setting environment_objects lists the templates that one of them asks alone.
    """
    alone = set(world.config.environment_objects)
    for resource, other in pairs(world):
        if resource.group_kind != "argoproj.io/Rollout":
            continue
        own, tried = (_asked(rollout) for rollout in (resource, other))
        for name in sorted(tried - own):
            if f"AnalysisTemplate/{name}" not in alone:
                message = f"it does not ask AnalysisTemplate {name!r}"
                yield resource.problem(("spec", "strategy"), message, "add the step, or list it")


def _asked(rollout: Resource) -> set[str]:
    return {name for analysis in analyses(rollout) for _, name, _ in analysis.references}


@rule(
    id="production-objects",
    title="Production has the objects that were tried",
    severity="warning",
    rationale="What exists in one environment alone was never tried, or is missing in the other.",
    references=[_TWELVE],
    kinds=BUILD,
)
def production_objects(world: World) -> Iterator[Problem]:
    """Both environments have the same objects; a missing guard is an error.

    The setting environment_objects lists what one of them has alone, as Kind/name.
    """
    before = rehearsal(world)
    if before is None:
        return
    own, tried = by_key(world.index), by_key(before.index)
    allowed = set(world.config.environment_objects)
    for other_key, other in tried.items():
        name = f"{other.kind}/{other_key[1]}"
        if other_key not in own and name not in allowed:
            severe = Severity.error if other.kind in _GUARDS else None
            message = f"{name} of {before.build.name} is missing here"
            yield Problem(None, (), message, "add it, or list it", severity=severe)
    for resource in world.index.resources:
        name = f"{resource.kind}/{key(resource)[1]}"
        if key(resource) not in tried and name not in allowed:
            yield resource.problem(
                ("metadata", "name"),
                f"{before.build.name} has no {name}: it was never tried",
                "add it there as well, or list it",
                severity=Severity.info,
            )


@rule(
    id="production-namespace-security",
    title="Production's namespace enforces at least what the one before does",
    severity="error",
    rationale="Pods that admission refuses before production would be accepted in it.",
    references=["https://kubernetes.io/docs/concepts/security/pod-security-admission/"],
    kinds=BUILD,
)
def production_namespace_security(world: World) -> Iterator[Problem]:
    """The label pod-security.kubernetes.io/enforce is not weaker."""
    label = "pod-security.kubernetes.io/enforce"
    levels = ("privileged", "baseline", "restricted")
    for resource, other in pairs(world):
        named = [str(field(r.labels, label) or levels[0]) for r in (resource, other)]
        known = [levels.index(name) if name in levels else 0 for name in named]
        if resource.group_kind == "Namespace" and known[0] < known[1]:
            yield resource.problem(
                ("metadata", "labels", label), f"{named[0]}, {named[1]} before", "enforce the same"
            )
