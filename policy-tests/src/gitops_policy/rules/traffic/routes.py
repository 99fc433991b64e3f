"""Routes: what they lead to and hang on exists, and Git holds 100/0."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, field, mapping, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.gateway_routes import GATEWAY, ROUTES, backends, granted
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World, once

_API = "https://gateway-api.sigs.k8s.io/reference/spec/"


def _targets(route: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield what a route sends requests to: its backends, and the mirrors of its filters."""
    yield from backends(route)
    for i, entry in entries(route.spec, "rules"):
        for j, step in entries(entry, "filters"):
            if mirror := mapping(step, "requestMirror", "backendRef"):
                yield ("spec", "rules", i, "filters", j, "requestMirror", "backendRef"), mirror


def _services(route: Resource) -> Iterator[tuple[Path, dict[str, Any], str]]:
    for path, backend in _targets(route):
        if field(backend, "kind") in (None, "Service") and not text(backend, "group"):
            yield path, backend, text(backend, "namespace") or route.namespace


@rule(
    id="route-backend-exists",
    title="A route's backend Service and port exist",
    severity="error",
    rationale="A route to a missing Service or port answers 500 for its whole share of traffic.",
    references=[_API + "#backendref"],
    kinds=ROUTES,
    known_as=["kubescape:C-0302"],
    needs_whole=True,
)
def route_backend_exists(route: Resource, world: World) -> Iterator[Problem]:
    """Each backendRef names a Service of the build and one of its ports."""
    for path, backend, namespace in _services(route):
        name = text(backend, "name")
        service = world.index.get("Service", namespace, name, near=route)
        if service is None and not _known(namespace, route, world):
            continue
        if service is None:
            yield route.problem(
                (*path, "name"),
                f"there is no Service {name!r} in namespace {namespace!r}",
                "name an existing Service; Kustomize rewrites names only where it knows the field",
            )
        elif backend.get("port") not in [p.get("port") for _, p in entries(service.spec, "ports")]:
            yield route.problem(
                (*path, "port"),
                f"Service {name!r} has no port {backend.get('port')!r}",
                "use the Service's port, not the container's",
            ).regardless()


@rule(
    id="route-backend-granted",
    title="A route to another namespace is granted there",
    severity="error",
    rationale="Without a ReferenceGrant the gateway answers 500 for the backend's share.",
    references=[_API + "#referencegrant"],
    kinds=ROUTES,
    known_as=["polaris:httpRouteCrossNamespaceBackendRef"],
)
def route_backend_granted(route: Resource, world: World) -> Iterator[Problem]:
    """A ReferenceGrant of the Service's namespace names the route's kind and namespace."""
    for path, backend, namespace in _services(route):
        name = text(backend, "name")
        if namespace != route.namespace and not granted(route, namespace, "Service", name, world):
            yield route.problem(
                (*path, "namespace"),
                f"no ReferenceGrant in namespace {namespace!r} allows this reference",
                "add a ReferenceGrant there, or use a Service of the route's own namespace",
                severity=None if _known(namespace, route, world) else Severity.warning,
            )


def _known(namespace: str, route: Resource, world: World) -> bool:
    """Say whether the build would hold what a namespace holds."""
    return namespace == route.namespace or any(
        r.namespace == namespace
        for r in world.index.of_kind("Service", f"{GATEWAY}/ReferenceGrant", "apps/Deployment")
    )


@rule(
    id="route-weights-in-git",
    title="Git holds 100/0 for the stable and canary Service",
    severity="error",
    rationale=(
        "The traffic router writes the weights; any other value in Git moves traffic at a sync."
    ),
    references=["https://argoproj.github.io/argo-rollouts/features/traffic-management/"],
    kinds=[f"{GATEWAY}/HTTPRoute", f"{GATEWAY}/GRPCRoute"],
)
def route_weights_in_git(route: Resource, world: World) -> Iterator[Problem]:
    """A rule with both Services of a Rollout gives stable 100 and canary 0."""
    for path, backend in backends(route):
        for wanted in _weights(world).get((route.namespace, text(backend, "name")), ()):
            if field(backend, "weight") != wanted:
                yield route.problem(
                    (*path, "weight"),
                    f"weight is {field(backend, 'weight')!r} in Git",
                    f"write weight: {wanted} and let the rollout controller change it",
                )


@rule(
    id="rollout-route-exists",
    title="The route that a Rollout steers exists",
    severity="error",
    rationale="The traffic router plugin fails at the first setWeight when its route is missing.",
    references=["https://rollouts-plugin-trafficrouter-gatewayapi.readthedocs.io/"],
    kinds=["argoproj.io/Rollout"],
    needs_whole=True,
)
def rollout_route_exists(rollout: Resource, world: World) -> Iterator[Problem]:
    """The Gateway API plugin names a route of the build that splits between both Services."""
    path = ("spec", "strategy", "canary", "trafficRouting", "plugins", "argoproj-labs/gatewayAPI")
    settings = mapping(rollout.content, *path)
    names: list[tuple[Path, str]] = []
    if "httpRoute" in settings:
        names.append((("httpRoute",), text(settings, "httpRoute")))
    names += [
        (("httpRoutes", i, "name"), text(item, "name"))
        for i, item in entries(settings, "httpRoutes")
    ]
    namespace = text(settings, "namespace") or rollout.namespace
    canary = mapping(rollout.spec, "strategy", "canary")
    wanted = {text(canary, "stableService"), text(canary, "canaryService")}
    for step, name in names:
        route = world.index.get(f"{GATEWAY}/HTTPRoute", namespace, name)
        if route is None:
            yield rollout.problem(
                (*path, *step),
                f"there is no HTTPRoute {name!r} in namespace {namespace!r}",
                "name the route and its namespace as they are rendered",
            )
        elif not wanted <= {text(backend, "name") for _, backend in backends(route)}:
            yield rollout.problem(
                (*path, *step),
                f"HTTPRoute {name!r} does not split between the stable and the canary Service",
                "add both Services as backendRefs, weights 100 and 0",
            ).regardless()


@once
def _weights(world: World) -> dict[tuple[str, str], list[int]]:
    """Return what Git must hold for each Service of a Rollout, by namespace and name."""
    found: dict[tuple[str, str], list[int]] = {}
    for rollout in world.index.of_kind("argoproj.io/Rollout"):
        canary = mapping(rollout.spec, "strategy", "canary")
        weights = {text(canary, "stableService"): 100, text(canary, "canaryService"): 0}
        for name, weight in weights.items() if len(weights) > 1 else ():
            found.setdefault((rollout.namespace, name), []).append(weight)
    return found
