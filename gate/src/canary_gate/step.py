"""The steps of a canary, as a Rollout lists them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from canary_gate import durations
from canary_gate.errors import RefusedError
from canary_gate.step_arguments import StepArgument, read_argument
from canary_gate.template import read_rules


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
class SetHeaderRoute:
    """Send the requests that match to the canary; without a match, no longer."""

    name: str
    match: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True)
class Pause:
    """Wait for `seconds`, or for a person where it is None."""

    seconds: float | None


@dataclass(frozen=True)
class AnalysisStep:
    """An analysis: names of its templates, its arguments, its dryRun and retention rules."""

    templates: tuple[str, ...]
    arguments: tuple[StepArgument, ...]
    dry_run: tuple[str, ...] = ()
    retention: tuple[str, ...] = ()


@dataclass(frozen=True)
class ExperimentStep:
    """Pods beside the Rollout's, without traffic, and the analyses that they are there for.

    `pods` names each set and the version that it runs. The step lasts until every analysis
    has passed, or one has not (`experiment_phase`).
    """

    pods: Mapping[str, Literal["canary", "stable"]]
    analyses: tuple[AnalysisStep, ...]


Step = SetWeight | SetCanaryScale | SetHeaderRoute | Pause | AnalysisStep | ExperimentStep


def read_step(step: object) -> Step:
    """One step; raises RefusedError where it is not modelled."""
    if not isinstance(step, Mapping) or len(step) != 1:
        raise RefusedError("a step is a mapping with one key")
    ((kind, value),) = step.items()
    if kind == "setWeight":
        return _weight(value)
    if not isinstance(value, Mapping):
        raise RefusedError(f"{kind} is not a mapping")
    if kind not in _READERS:
        raise RefusedError(f"{kind} is not modelled")
    return _READERS[kind](value)


def read_analysis(value: Mapping[str, Any]) -> AnalysisStep:
    """An analysis of a step, of the background or around a promotion."""
    _only(value, {"templates", "args", "dryRun", "measurementRetention"}, "analysis")
    templates = _items(value, "templates", "analysis")
    for template in templates:
        _only(template, {"templateName"}, "analysis.templates")
    if not templates:
        # The controller skips such a step: an analysis of nothing would advance.
        raise RefusedError("analysis.templates is empty")
    return AnalysisStep(
        templates=tuple(str(template.get("templateName")) for template in templates),
        arguments=tuple(read_argument(entry) for entry in _items(value, "args", "analysis")),
        dry_run=read_rules(value, "dryRun"),
        retention=read_rules(value, "measurementRetention"),
    )


def _only(value: Mapping[str, Any], known: set[str], what: str) -> None:
    for field in value:
        if field not in known:
            raise RefusedError(f"{what}.{field} is not modelled")


def _items(value: Mapping[str, Any], field: str, what: str) -> list[Mapping[str, Any]]:
    items = value.get(field) or []
    if not isinstance(items, list) or not all(isinstance(item, Mapping) for item in items):
        raise RefusedError(f"{what}.{field} is not a list of mappings")
    return items


def _integer(value: object, what: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise RefusedError(f"{what} must be an integer, found {value!r}")
    return value


def _weight(value: object) -> SetWeight:
    weight = _integer(value, "setWeight")
    if not 0 <= weight <= 100:
        raise RefusedError(f"setWeight must be between 0 and 100, found {weight}")
    return SetWeight(weight)


def _scale(value: Mapping[str, Any]) -> SetCanaryScale:
    _only(value, {"replicas", "weight", "matchTrafficWeight"}, "setCanaryScale")
    if len(value) != 1:
        raise RefusedError("setCanaryScale takes one of replicas, weight, matchTrafficWeight")
    ((field, given),) = value.items()
    if field == "matchTrafficWeight":
        return SetCanaryScale(match_traffic_weight=given is True)
    number = _integer(given, field)
    return SetCanaryScale(replicas=number) if field == "replicas" else SetCanaryScale(weight=number)


def _header_route(value: Mapping[str, Any]) -> SetHeaderRoute:
    _only(value, {"name", "match"}, "setHeaderRoute")
    return SetHeaderRoute(str(value.get("name")), tuple(_items(value, "match", "setHeaderRoute")))


def _pause(value: Mapping[str, Any]) -> Pause:
    _only(value, {"duration"}, "pause")
    duration = value.get("duration")
    if duration is None:
        return Pause(None)
    try:
        text = str(duration)
        # The controller waits whole seconds.
        seconds = int(text) if text.isdigit() else int(durations.seconds(text))
    except ValueError as error:
        raise RefusedError(f"pause.duration: {error}") from None
    if seconds < 0:
        raise RefusedError(f"pause.duration is negative: {text}")
    return Pause(float(seconds))


def _experiment(value: Mapping[str, Any]) -> ExperimentStep:
    _only(value, {"templates", "analyses", "dryRun"}, "experiment")
    pods: dict[str, Literal["canary", "stable"]] = {}
    for template in _items(value, "templates", "experiment"):
        _only(template, {"name", "specRef", "service", "replicas"}, "experiment.templates")
        reference = template.get("specRef")
        if reference not in ("canary", "stable"):
            raise RefusedError(f"specRef is canary or stable, found {reference!r}")
        pods[str(template.get("name"))] = reference
    rules = {field: value[field] for field in ("dryRun",) if field in value}
    analyses = []
    for analysis in _items(value, "analyses", "experiment"):
        known = {"name", "templateName", "requiredForCompletion", "args"}
        _only(analysis, known, "experiment.analyses")
        if analysis.get("requiredForCompletion") is not True:
            # Without it the experiment lasts until its duration, or until somebody ends it.
            raise RefusedError("an analysis without requiredForCompletion is not modelled")
        templates = [{"templateName": analysis.get("templateName")}]
        arguments = analysis.get("args") or []
        analyses.append(read_analysis({"templates": templates, "args": arguments, **rules}))
    if not analyses:
        raise RefusedError("an experiment without analyses is not modelled")
    return ExperimentStep(pods, tuple(analyses))


_READERS: dict[str, Callable[[Mapping[str, Any]], Step]] = {
    "setCanaryScale": _scale,
    "setHeaderRoute": _header_route,
    "pause": _pause,
    "analysis": read_analysis,
    "experiment": _experiment,
}
