"""The steps of a canary: what the Argo Rollouts controller refuses in each of them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, field, mapping, text
from gitops_policy.kubernetes.scaling import count

# Path inside the step, message, fix.
StepFlaw = tuple[Path, str, str]

# In the order in which the controller asks which of them ends the step.
STEPS = (
    "pause",
    "setCanaryScale",
    "setWeight",
    "experiment",
    "analysis",
    "setHeaderRoute",
    "setMirrorRoute",
    "plugin",
)
_ALONE = ("setWeight", "pause", "experiment", "analysis")
_WAITED_FOR = ("experiment", "analysis", "plugin")
_ROUTERS = {
    "setHeaderRoute": ("istio", "alb", "apisix", "plugins"),
    "setMirrorRoute": ("istio", "plugins"),
}
_WEIGHTED_EXPERIMENTS = ("alb", "smi", "istio", "plugins")
_DURATION = re.compile(r"[-+]?(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+")
_METADATA = re.compile(
    r"metadata\.((name|namespace|uid|labels|annotations)"
    r"|labels\['[^']+'\]|annotations\['[^']+'\])"
)


def step_flaws(step: dict[str, Any], canary: dict[str, Any]) -> Iterator[StepFlaw]:
    """Yield what is wrong in one step of a canary strategy."""
    if flaw := _composition(step):
        yield flaw
        return
    routing = mapping(canary, "trafficRouting")
    routed = canary.get("trafficRouting") is not None
    yield from _weight(step, routing)
    yield from _pause(step)
    if step.get("setCanaryScale") is not None:
        yield from _scale(step, routed)
    for name in _ROUTERS:
        if step.get(name) is not None:
            yield from _route(step, name, routing)
    yield from _experiment(step, routing, routed)
    yield from _arguments(step)


def _composition(step: dict[str, Any]) -> StepFlaw | None:
    """Say what is wrong with the kinds of a step together."""
    present = [name for name in STEPS if step.get(name) is not None]
    unknown = sorted(set(step) - set(STEPS))
    if unknown or not present or len([name for name in present if name in _ALONE]) > 1:
        found = ", ".join([*present, *unknown]) or "nothing"
        message = f"a step is one of {', '.join(STEPS)}; here is {found}"
        return (), message, "write one step for each"
    lost = [name for name in present[1:] if name in _WAITED_FOR]
    if lost:
        message = f"the step ends with {present[0]}: nobody waits for {lost[0]}"
        return (lost[0],), message, "write one step for each"
    return None


def routers(routing: dict[str, Any]) -> set[str]:
    """Return the traffic routers that are configured."""
    return {name for name, value in routing.items() if value or (value == {} and name != "plugins")}


def _weight(step: dict[str, Any], routing: dict[str, Any]) -> Iterator[StepFlaw]:
    limit = count(routing.get("maxTrafficWeight"), 100)
    weight = step.get("setWeight")
    if weight is not None and not 0 <= count(weight, -1) <= limit:
        yield ("setWeight",), f"setWeight is {weight!r}", f"use a whole number from 0 to {limit}"


def _pause(step: dict[str, Any]) -> Iterator[StepFlaw]:
    duration = field(step, "pause", "duration")
    if duration is not None and not _is_duration(duration):
        message = f"{duration!r} is no duration"
        yield ("pause", "duration"), message, "write seconds, or 90s, 5m, 1h"


def _is_duration(value: object) -> bool:
    if isinstance(value, str):
        whole = bool(re.fullmatch(r"[-+]?[0-9]+|" + _DURATION.pattern, value))
        return whole and not value.startswith("-")
    return count(value, -1) >= 0


def _scale(step: dict[str, Any], routed: bool) -> Iterator[StepFlaw]:
    scale = mapping(step, "setCanaryScale")
    if not routed:
        yield ("setCanaryScale",), "setCanaryScale needs trafficRouting", "remove the step"
    if len(scale) != 1:
        yield (
            ("setCanaryScale",),
            "setCanaryScale is exactly one of replicas, weight, matchTrafficWeight",
            "keep one of them",
        )


def _route(step: dict[str, Any], name: str, routing: dict[str, Any]) -> Iterator[StepFlaw]:
    wanted = _ROUTERS[name]
    if not routers(routing) & set(wanted):
        yield (name,), f"{name} works with {', '.join(wanted)} only", "use one of these routers"
    managed = {text(item, "name") for _, item in entries(routing, "managedRoutes")}
    route = text(step, name, "name")
    if routing and route not in managed:
        message = f"route {route!r} is not in managedRoutes"
        yield (name, "name"), message, "list it under trafficRouting.managedRoutes"
    for i, match in entries(step, name, "match"):
        for key, value in _matches(name, match):
            flaw = _match_flaw(value, exact_only=name == "setHeaderRoute" and "alb" in routing)
            if flaw:
                yield (name, "match", i, key), flaw, "write exact, prefix or regex, one of them"


def _matches(name: str, match: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    if name == "setHeaderRoute":
        yield "headerValue", match.get("headerValue")
    else:
        yield from ((key, match[key]) for key in ("method", "path") if match.get(key) is not None)


def _match_flaw(value: object, *, exact_only: bool) -> str:
    forms = [name for name in ("exact", "prefix", "regex") if text(value, name)]
    if exact_only and forms != ["exact"]:
        return "ALB matches by `exact` only"
    return "" if len(forms) == 1 else "it is not exactly one of exact, prefix and regex"


def _experiment(step: dict[str, Any], routing: dict[str, Any], routed: bool) -> Iterator[StepFlaw]:
    for i, template in entries(step, "experiment", "templates"):
        if template.get("weight") is None:
            continue
        if not routed or not routers(routing) & set(_WEIGHTED_EXPERIMENTS):
            yield (
                ("experiment", "templates", i, "weight"),
                f"a weight needs a router of {', '.join(_WEIGHTED_EXPERIMENTS)}",
                "remove the weight",
            )


def _arguments(step: dict[str, Any]) -> Iterator[StepFlaw]:
    places: list[Path] = [("analysis", "args")]
    places += [
        ("experiment", "analyses", i, "args") for i, _ in entries(step, "experiment", "analyses")
    ]
    for place in places:
        for i, argument in entries(step, *place):
            name = text(argument, "valueFrom", "fieldRef", "fieldPath")
            if name.startswith("metadata") and not _METADATA.fullmatch(name):
                yield (
                    (*place, i, "valueFrom", "fieldRef", "fieldPath"),
                    f"{name!r} is no field that an analysis can read",
                    "use metadata.name, .namespace, .uid, .labels['x'] or .annotations['x']",
                )
