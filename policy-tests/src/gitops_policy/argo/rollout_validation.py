"""What the Argo Rollouts controller refuses in a Rollout: it sets InvalidSpec and does nothing.

The semantics are those of its package `validation`; paths count from the object.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.argo.rollout_steps import step_flaws
from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.kubernetes.scaling import count

Flaw = tuple[Path, str, str]

STRATEGY: Path = ("spec", "strategy")
_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
# These routers change weights between two Services and cannot do it without their names.
_BETWEEN_SERVICES = ("smi", "apisix", "ambassador", "nginx", "appMesh", "traefik")
_ONE_OF = {
    "nginx": ("stableIngress", "stableIngresses"),
    "alb": ("ingress", "ingresses"),
    "istio": ("virtualService", "virtualServices"),
}


def flaws(rollout: dict[str, Any]) -> Iterator[Flaw]:
    """Yield path, message and fix of each thing that the controller refuses."""
    spec = mapping(rollout, "spec")
    yield from _workload(spec)
    yield from _numbers(spec)
    strategy = mapping(spec, "strategy")
    named = [name for name in ("canary", "blueGreen") if strategy.get(name) is not None]
    if len(named) != 1:
        yield STRATEGY, "not exactly one strategy is set", "set canary or blueGreen"
    elif named == ["canary"]:
        yield from _canary(mapping(strategy, "canary"))
    else:
        yield from _blue_green(spec, mapping(strategy, "blueGreen"))


def _workload(spec: dict[str, Any]) -> Iterator[Flaw]:
    by_reference = spec.get("workloadRef") is not None
    template = mapping(spec, "template")
    if by_reference and "template" in spec:
        yield (
            ("spec", "template"),
            "template and workloadRef exclude each other",
            "keep one of them",
        )
    elif not by_reference and not template:
        yield ("spec",), "neither template nor workloadRef is set", "add one of them"
    yield from _selector(spec)
    if by_reference:
        return
    pods = mapping(template, "spec")
    place: Path = ("spec", "template", "spec")
    if template and not sequence(pods, "containers"):
        yield (*place, "containers"), "the template has no containers", "add one"
    if pods.get("restartPolicy") not in (None, "Always"):
        yield (*place, "restartPolicy"), "pods of a Rollout restart always", "remove it"
    if pods.get("activeDeadlineSeconds") is not None:
        yield (
            (*place, "activeDeadlineSeconds"),
            "pods of a Rollout have no deadline",
            "remove it",
        )


def _selector(spec: dict[str, Any]) -> Iterator[Flaw]:
    path: Path = ("spec", "selector")
    selector = mapping(spec, "selector")
    empty = not selector.get("matchLabels") and not selector.get("matchExpressions")
    if empty and spec.get("workloadRef") is None:
        yield path, "the selector is missing or empty", "select labels of the pod template"
    for key, value in mapping(selector, "matchLabels").items():
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(str(value)):
            yield (*path, "matchLabels", key), f"{key}: {value!r} is no valid label", "correct it"
    for i, term in entries(selector, "matchExpressions"):
        operator, values = text(term, "operator"), sequence(term, "values")
        with_values = operator in ("In", "NotIn")
        known = with_values or operator in ("Exists", "DoesNotExist")
        if not known or bool(values) is not with_values:
            yield (
                (*path, "matchExpressions", i),
                f"operator {operator!r} with {len(values)} values is no selector",
                "In and NotIn take values, Exists and DoesNotExist take none",
            )


def _numbers(spec: dict[str, Any]) -> Iterator[Flaw]:
    ready = count(spec.get("minReadySeconds"), 0)
    deadline = count(spec.get("progressDeadlineSeconds"), 600)
    for name in ("replicas", "minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"):
        if count(spec.get(name), 0) < 0:
            yield ("spec", name), f"{name} is negative", "use 0 or more"
    if deadline <= ready:
        yield (
            ("spec", "progressDeadlineSeconds"),
            f"progressDeadlineSeconds {deadline} is not above minReadySeconds {ready}",
            "let the deadline be longer than it takes to be ready",
        )


def _blue_green(spec: dict[str, Any], blue_green: dict[str, Any]) -> Iterator[Flaw]:
    path: Path = (*STRATEGY, "blueGreen")
    if text(blue_green, "activeService") == text(blue_green, "previewService"):
        yield (
            (*path, "activeService"),
            "activeService and previewService are the same",
            "name two Services",
        )
    kept = count(spec.get("revisionHistoryLimit"), 10)
    limit = count(blue_green.get("scaleDownDelayRevisionLimit"), 0)
    if kept < limit:
        yield (
            (*path, "scaleDownDelayRevisionLimit"),
            f"it keeps {limit} revisions running, revisionHistoryLimit only {kept}",
            "raise revisionHistoryLimit",
        )
    yield from _anti_affinity(blue_green, path)


def _anti_affinity(strategy: dict[str, Any], path: Path) -> Iterator[Flaw]:
    affinity = field(strategy, "antiAffinity")
    if affinity is None:
        return
    preferred = field(affinity, "preferredDuringSchedulingIgnoredDuringExecution")
    required = field(affinity, "requiredDuringSchedulingIgnoredDuringExecution")
    if (preferred is None) is (required is None):
        yield (*path, "antiAffinity"), "it is not exactly one of preferred and required", "keep one"
    if preferred is not None and not 1 <= count(field(preferred, "weight"), 0) <= 100:
        yield (*path, "antiAffinity"), "its weight is not from 1 to 100", "correct the weight"


def _canary(canary: dict[str, Any]) -> Iterator[Flaw]:
    path: Path = (*STRATEGY, "canary")
    if not _amount(canary.get("maxSurge")) and not _amount(canary.get("maxUnavailable")):
        yield path, "maxSurge and maxUnavailable are both 0", "let one of them be 1"
    canary_service, stable = text(canary, "canaryService"), text(canary, "stableService")
    if canary_service and canary_service == stable:
        yield (
            (*path, "stableService"),
            f"{stable!r} is both the canary and the stable Service",
            "name two Services",
        )
    yield from _ping_pong(canary, path)
    if _needs_services(canary) and not (canary_service and stable):
        yield path, "traffic routing needs canaryService and stableService", "name both Services"
    yield from _routing(canary, path)
    for i, step in entries(canary, "steps"):
        for inner, message, fix in step_flaws(step, canary):
            yield (*path, "steps", i, *inner), message, fix
    yield from _anti_affinity(canary, path)


def _amount(value: object) -> int:
    if value is None:
        return 25
    if isinstance(value, str):
        digits = value.removesuffix("%") if re.fullmatch(r"[0-9]+%", value) else value
        return int(digits) if re.fullmatch(r"[-+]?[0-9]+", digits) else 0
    return count(value, 0)


def _ping_pong(canary: dict[str, Any], path: Path) -> Iterator[Flaw]:
    if canary.get("pingPong") is None:
        return
    routing = mapping(canary, "trafficRouting")
    ping, pong = (text(canary, "pingPong", name) for name in ("pingService", "pongService"))
    if canary.get("trafficRouting") is not None and not _has(routing, "alb", "istio", "plugins"):
        message = "ping-pong works with ALB, Istio and plugins only"
        yield (*path, "trafficRouting"), message, "use one of these routers"
    if not ping or not pong or ping == pong:
        yield (*path, "pingPong"), "it needs two different Services", "name both"
    if routing.get("alb") is not None and not text(routing, "alb", "rootService"):
        message = "ping-pong with ALB needs rootService"
        yield (*path, "trafficRouting", "alb"), message, "name the Service of the ingress"


def _has(routing: dict[str, Any], *names: str) -> bool:
    return any(
        routing.get(name) is not None and not (name == "plugins" and not routing[name])
        for name in names
    )


def _needs_services(canary: dict[str, Any]) -> bool:
    routing = mapping(canary, "trafficRouting")
    alone = canary.get("pingPong") is None
    istio = routing.get("istio") is not None
    by_subset = field(routing, "istio", "destinationRule") is not None
    return (
        _has(routing, *_BETWEEN_SERVICES)
        or (alone and _has(routing, "alb", "plugins"))
        or (alone and istio and not by_subset)
    )


def _routing(canary: dict[str, Any], path: Path) -> Iterator[Flaw]:
    delay = canary.get("scaleDownDelaySeconds") is not None
    dynamic = canary.get("dynamicStableScale") is True
    if canary.get("trafficRouting") is None:
        for name, found in (("scaleDownDelaySeconds", delay), ("dynamicStableScale", dynamic)):
            if found:
                yield (*path, name), f"{name} needs trafficRouting", "remove it"
        return
    if delay and dynamic:
        yield (
            (*path, "dynamicStableScale"),
            "dynamicStableScale and scaleDownDelaySeconds exclude each other",
            "remove one of them",
        )
    routing = mapping(canary, "trafficRouting")
    if routing.get("maxTrafficWeight") is not None and not _has(routing, "nginx", "plugins"):
        yield (
            (*path, "trafficRouting", "maxTrafficWeight"),
            "only nginx and plugins know maxTrafficWeight",
            "remove it",
        )
    for router, (one, many) in _ONE_OF.items():
        settings = mapping(routing, router)
        if routing.get(router) is not None and bool(settings.get(one)) is bool(settings.get(many)):
            yield (
                (*path, "trafficRouting", router),
                f"not exactly one of {one} and {many} is set",
                "keep one of them",
            )
