"""Canary steps of a Rollout and the arguments that it gives to its analyses."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary_gate import durations
from canary_gate.analysis import Analysis
from canary_gate.errors import RefusedError
from canary_gate.template import AnalysisTemplate

_METADATA = re.compile(r"metadata\.(?:(name|namespace|uid)|(labels|annotations)\['([^']+)'\])")


@dataclass(frozen=True)
class SetWeight:
    """Send this percentage of the traffic to the canary."""

    weight: int


@dataclass(frozen=True)
class SetCanaryScale:
    """Size of the canary: exactly one of the three is set."""

    replicas: int | None = None
    weight: int | None = None
    match_traffic_weight: bool = False


@dataclass(frozen=True)
class Pause:
    """Wait for `seconds`, or for a person where it is None."""

    seconds: float | None


@dataclass(frozen=True)
class StepArgument:
    """An argument of a step: a value, a pod template hash (Latest, Stable) or a field path."""

    name: str
    value: str = ""
    pod_template_hash: str = ""
    field_path: str = ""


@dataclass(frozen=True)
class AnalysisStep:
    """An inline analysis: names of its templates, its arguments, its dryRun rules."""

    templates: tuple[str, ...]
    arguments: tuple[StepArgument, ...]
    dry_run: tuple[str, ...] = ()


Step = SetWeight | SetCanaryScale | Pause | AnalysisStep


def canary_steps(rollout: Mapping[str, Any]) -> list[Step]:
    """Read `spec.strategy.canary.steps`; raises RefusedError for a step that is not modelled."""
    canary = _dig(rollout, "spec", "strategy", "canary")
    if not isinstance(canary, Mapping):
        raise RefusedError(f"Rollout {_name(rollout)} has no canary strategy")
    if canary.get("analysis") is not None:
        raise RefusedError(f"Rollout {_name(rollout)}: a background analysis is not modelled")
    steps: list[Step] = []
    for number, step in enumerate(canary.get("steps") or []):
        try:
            steps.append(_step(step))
        except RefusedError as error:
            raise RefusedError(
                f"Rollout {_name(rollout)}, canary step {number}: {error.reason}"
            ) from None
    return steps


def resolve_arguments(
    step: AnalysisStep, rollout: Mapping[str, Any], *, canary_hash: str, stable_hash: str
) -> dict[str, str]:
    """Values of a step's arguments, as the controller takes them from the Rollout.

    Raises RefusedError for a path that leads nowhere or to no single value.
    """
    hashes = {"Latest": canary_hash, "Stable": stable_hash}
    values = {}
    for argument in step.arguments:
        if argument.pod_template_hash:
            values[argument.name] = hashes[argument.pod_template_hash]
        elif argument.field_path:
            values[argument.name] = _field(rollout, argument.field_path)
        else:
            values[argument.name] = argument.value
    return values


def step_analysis(
    step: AnalysisStep, templates: Mapping[str, AnalysisTemplate], arguments: Mapping[str, str]
) -> Analysis:
    """The analysis of a step; raises RefusedError for a template that does not exist."""
    for name in step.templates:
        if name not in templates:
            raise RefusedError("no such template", template=name)
    chosen = [templates[name] for name in step.templates]
    return Analysis(chosen, arguments, dry_run=step.dry_run)


def _name(rollout: Mapping[str, Any]) -> str:
    return str(_dig(rollout, "metadata", "name") or "without name")


def _dig(value: object, *path: str) -> object:
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _step(step: object) -> Step:
    if not isinstance(step, Mapping) or len(step) != 1:
        raise RefusedError("a step is a mapping with one key")
    ((kind, value),) = step.items()
    if kind == "setWeight":
        return SetWeight(_integer(value, kind))
    if not isinstance(value, Mapping):
        raise RefusedError(f"{kind} is not a mapping")
    if kind == "setCanaryScale":
        return _scale(value)
    if kind == "pause":
        return _pause(value)
    if kind == "analysis":
        return _analysis(value)
    raise RefusedError(f"{kind} is not modelled")


def _only(value: Mapping[str, Any], known: set[str], what: str) -> None:
    for field in value:
        if field not in known:
            raise RefusedError(f"{what}.{field} is not modelled")


def _integer(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(f"{what} must be an integer, found {value!r}")
    return value


def _scale(value: Mapping[str, Any]) -> SetCanaryScale:
    _only(value, {"replicas", "weight", "matchTrafficWeight"}, "setCanaryScale")
    if len(value) != 1:
        raise RefusedError("setCanaryScale takes one of replicas, weight, matchTrafficWeight")
    ((field, given),) = value.items()
    if field == "matchTrafficWeight":
        return SetCanaryScale(match_traffic_weight=given is True)
    number = _integer(given, field)
    return SetCanaryScale(replicas=number) if field == "replicas" else SetCanaryScale(weight=number)


def _pause(value: Mapping[str, Any]) -> Pause:
    _only(value, {"duration"}, "pause")
    duration = value.get("duration")
    if duration is None:
        return Pause(None)
    try:
        text = str(duration)
        return Pause(float(text) if text.isdigit() else durations.seconds(text))
    except ValueError as error:
        raise RefusedError(f"pause.duration: {error}") from None


def _items(value: Mapping[str, Any], field: str) -> Sequence[Mapping[str, Any]]:
    items = value.get(field) or []
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise RefusedError(f"analysis.{field} is not a list of mappings")
    return items


def _analysis(value: Mapping[str, Any]) -> AnalysisStep:
    _only(value, {"templates", "args", "dryRun", "measurementRetention"}, "analysis")
    templates = _items(value, "templates")
    for template in templates:
        _only(template, {"templateName", "clusterScope"}, "templates")
    if not templates:
        # The controller skips such a step: an analysis of nothing would advance.
        raise RefusedError("analysis.templates is empty")
    return AnalysisStep(
        templates=tuple(str(template.get("templateName")) for template in templates),
        arguments=tuple(_argument(argument) for argument in _items(value, "args")),
        dry_run=tuple(str(rule.get("metricName")) for rule in _items(value, "dryRun")),
    )


def _argument(argument: Mapping[str, Any]) -> StepArgument:
    _only(argument, {"name", "value", "valueFrom"}, "args")
    name, value, source = argument.get("name"), argument.get("value"), argument.get("valueFrom")
    if not isinstance(name, str) or not name:
        raise RefusedError("an argument has no name")
    if source is None:
        if not isinstance(value, str):
            raise RefusedError(f"argument {name} must be a string, found {value!r}; quote it")
        return StepArgument(name, value)
    if not isinstance(source, Mapping) or len(source) != 1 or value is not None:
        raise RefusedError(f"argument {name} takes a value or one valueFrom")
    ((kind, given),) = source.items()
    if kind == "podTemplateHashValue" and given in ("Latest", "Stable"):
        return StepArgument(name, pod_template_hash=given)
    if kind == "fieldRef" and isinstance(path := _dig(given, "fieldPath"), str):
        return StepArgument(name, field_path=path)
    raise RefusedError(f"argument {name}: valueFrom {kind} {given!r} is not modelled")


def _field(rollout: Mapping[str, Any], path: str) -> str:
    if path.startswith("metadata"):
        match = _METADATA.fullmatch(path)
        if match is None:
            raise RefusedError(f"fieldPath {path} is not modelled")
        plain, mapping, key = match.groups()
        value = _dig(rollout, "metadata", plain) if plain else None
        # A label or annotation that is absent is an empty text, as everywhere in Kubernetes.
        return str((_dig(rollout, "metadata", mapping, key) if mapping else value) or "")
    value = rollout
    for section in filter(None, re.split(r"[.\[\]]+", path)):
        value = _child(value, section, path)
    if value is None or isinstance(value, (Mapping, list)):
        raise RefusedError(f"fieldPath {path} leads to no single value of the Rollout")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _child(value: Any, section: str, path: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(section)
    if isinstance(value, list) and section.isdigit() and int(section) < len(value):
        return value[int(section)]
    raise RefusedError(f"fieldPath {path} does not exist in the Rollout")
