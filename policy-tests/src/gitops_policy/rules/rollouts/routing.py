"""What a Rollout steers: its workload, the ingress or mesh route, and Services of its own."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.argo.analyses import find
from gitops_policy.argo.rollout_services import services_of
from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World, once

_ROLLOUT = ["argoproj.io/Rollout"]
_TRAFFIC = "https://argoproj.github.io/argo-rollouts/features/traffic-management/"
_ROUTING: Path = ("spec", "strategy", "canary", "trafficRouting")
_MANAGED_BY = "argo-rollouts.argoproj.io/managed-by-rollouts"
_VIRTUAL_SERVICE = "networking.istio.io/VirtualService"
_PROTOCOLS = ("http", "tls", "tcp")


@rule(
    id="rollout-workload-exists",
    title="The workload that a Rollout refers to exists",
    severity="error",
    rationale="Without the Deployment of its workloadRef a Rollout has no pods, and waits.",
    references=["https://argoproj.github.io/argo-rollouts/migrating/"],
    kinds=_ROLLOUT,
    needs_whole=True,
)
def rollout_workload_exists(rollout: Resource, world: World) -> Iterator[Problem]:
    """workloadRef names an object with a pod template in the Rollout's namespace."""
    reference = mapping(rollout.spec, "workloadRef")
    if reference and not world.pods_of(rollout):
        yield rollout.problem(
            ("spec", "workloadRef", "name"),
            f"there is no {text(reference, 'kind')} {text(reference, 'name')!r}"
            f" in namespace {rollout.namespace!r}",
            "add it, or write the template in the Rollout",
        )


@rule(
    id="rollout-ingress-routes",
    title="The Ingress that a Rollout steers sends traffic to its stable Service",
    severity="error",
    rationale="The controller splits that one rule: without it the Rollout is InvalidSpec.",
    references=[_TRAFFIC],
    kinds=_ROLLOUT,
    known_as=["argo-rollouts:lint"],
)
def rollout_ingress_routes(rollout: Resource, world: World) -> Iterator[Problem]:
    """Each Ingress of nginx or alb exists and has a rule with the stable or root Service."""
    for path, name, service in _ingresses(rollout):
        ingress = world.index.get("networking.k8s.io/Ingress", rollout.namespace, name)
        if ingress is None:
            yield rollout.problem(
                path,
                f"there is no Ingress {name!r} in namespace {rollout.namespace!r}",
                "add it, or correct the name",
            )
        elif service and service not in _backends(ingress):
            yield rollout.problem(
                path,
                f"Ingress {name!r} has no rule with Service {service!r}",
                "route to the stable Service, or to the root Service of ALB",
            )


def _ingresses(rollout: Resource) -> Iterator[tuple[Path, str, str]]:
    stable = text(rollout.spec, "strategy", "canary", "stableService")
    for router, one, many in (
        ("nginx", "stableIngress", "stableIngresses"),
        ("alb", "ingress", "ingresses"),
    ):
        settings = mapping(rollout.content, *_ROUTING, router)
        service = text(settings, "rootService") or stable
        if name := text(settings, one):
            yield (*_ROUTING, router, one), name, service
        for i, item in enumerate(sequence(settings, many)):
            if isinstance(item, str):
                yield (*_ROUTING, router, many, i), item, service


def _backends(ingress: Resource) -> set[str]:
    found = {text(ingress.spec, "defaultBackend", "service", "name")}
    for _, part in entries(ingress.spec, "rules"):
        for _, path in entries(part, "http", "paths"):
            found.add(text(path, "backend", "service", "name"))
            found.add(text(path, "backend", "serviceName"))
    return found - {""}


@rule(
    id="rollout-virtual-service-routes",
    title="The VirtualService that a Rollout steers splits between stable and canary",
    severity="error",
    rationale="The controller sets the weights of two destinations: one missing stops the release.",
    references=["https://argoproj.github.io/argo-rollouts/features/traffic-management/istio/"],
    kinds=_ROLLOUT,
    known_as=["argo-rollouts:lint"],
)
def rollout_virtual_service_routes(rollout: Resource, world: World) -> Iterator[Problem]:
    """Each VirtualService exists; its routes have both Services, or both subsets."""
    wanted = _destinations(rollout)
    for path, item in _virtual_services(rollout):
        name, _, namespace = text(item, "name").partition(".")
        place = namespace or rollout.namespace
        route = world.index.get(_VIRTUAL_SERVICE, place, name)
        if route is None:
            yield rollout.problem(
                (*path, "name"),
                f"there is no VirtualService {name!r} in namespace {place!r}",
                "add it, or correct the name",
            )
        elif wanted and not any(wanted <= found for found in _split_routes(route)):
            yield rollout.problem(
                (*path, "name"),
                f"no route of VirtualService {name!r} has {' and '.join(sorted(wanted))}",
                "add both as destinations of one route, weights 100 and 0",
            )


def _virtual_services(rollout: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    path: Path = (*_ROUTING, "istio")
    if one := mapping(rollout.content, *path, "virtualService"):
        yield (*path, "virtualService"), one
    for i, item in entries(rollout.content, *path, "virtualServices"):
        yield (*path, "virtualServices", i), item


def _destinations(rollout: Resource) -> set[str]:
    by_subset = mapping(rollout.content, *_ROUTING, "istio", "destinationRule")
    names = ("stableSubsetName", "canarySubsetName")
    if by_subset:
        return {text(by_subset, name) for name in names} - {""}
    canary = mapping(rollout.spec, "strategy", "canary")
    names = ("stableService", "canaryService")
    pair = {text(canary, name) for name in names} - {""}
    pair |= {text(canary, "pingPong", name) for name in ("pingService", "pongService")} - {""}
    return pair


def _split_routes(route: Resource) -> Iterator[set[str]]:
    for protocol in _PROTOCOLS:
        for _, part in entries(route.spec, protocol):
            found = set()
            for _, target in entries(part, "route"):
                host = text(target, "destination", "host")
                found |= {host, host.partition(".")[0], text(target, "destination", "subset")}
            yield found


@rule(
    id="service-of-one-rollout",
    title="A Service belongs to one Rollout",
    severity="error",
    rationale="Two Rollouts write their hash into one selector: each takes the other's traffic.",
    references=[_TRAFFIC],
    kinds=_ROLLOUT,
    known_as=["argo-rollouts:lint"],
)
def service_of_one_rollout(rollout: Resource, world: World) -> Iterator[Problem]:
    """No other Rollout, and no managed-by annotation of another one, claims its Services."""
    for path, name in services_of(rollout):
        service = world.index.get("Service", rollout.namespace, name)
        owner = service.annotations.get(_MANAGED_BY) if service else None
        others = [
            other.name
            for other in _claims(world).get((rollout.namespace, name), ())
            if other.name < rollout.name
        ]
        if owner is not None and owner != rollout.name:
            others.append(str(owner))
        for other in others:
            yield rollout.problem(
                path, f"Service {name!r} belongs to Rollout {other!r}", "use a Service of its own"
            )


@rule(
    id="experiment-template-exists",
    title="Every AnalysisTemplate that an Experiment names exists",
    severity="error",
    rationale="An Experiment whose template is missing is an Error before it measures anything.",
    references=["https://argoproj.github.io/argo-rollouts/features/experiment/"],
    kinds=["argoproj.io/Experiment"],
    needs_whole=True,
)
def experiment_template_exists(experiment: Resource, world: World) -> Iterator[Problem]:
    """Each analysis of an Experiment names a template of its scope."""
    for i, analysis in entries(experiment.spec, "analyses"):
        name, cluster = text(analysis, "templateName"), field(analysis, "clusterScope") is True
        if find(name, cluster, experiment.namespace, world) is None:
            kind = "ClusterAnalysisTemplate" if cluster else "AnalysisTemplate"
            yield experiment.problem(
                ("spec", "analyses", i, "templateName"),
                f"there is no {kind} {name!r}",
                "add it, or correct the name",
            )


@once
def _claims(world: World) -> dict[tuple[str, str], list[Resource]]:
    """Return the Rollouts that name a Service, by its namespace and name."""
    found: dict[tuple[str, str], list[Resource]] = {}
    for rollout in world.index.of_kind(*_ROLLOUT):
        for name in {name for _, name in services_of(rollout)}:
            found.setdefault((rollout.namespace, name), []).append(rollout)
    return found
