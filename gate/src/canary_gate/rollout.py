"""What a Rollout asks its analyses: in steps, beside them, around a promotion."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from canary_gate.analysis import Analysis
from canary_gate.errors import RefusedError
from canary_gate.step import AnalysisStep, Step, read_analysis, read_step
from canary_gate.step_arguments import dig, resolve_argument
from canary_gate.template import AnalysisTemplate
from canary_gate.verdict import Phase


@dataclass(frozen=True)
class BackgroundAnalysis:
    """The analysis that runs beside the steps, from the start of one until the last has ended."""

    analysis: AnalysisStep
    starting_step: int = 0


def canary_steps(rollout: Mapping[str, Any]) -> list[Step]:
    """Read `spec.strategy.canary.steps`; raises RefusedError for a step that is not modelled."""
    steps: list[Step] = []
    for number, step in enumerate(_strategy(rollout, "canary").get("steps") or []):
        try:
            steps.append(read_step(step))
        except RefusedError as error:
            raise RefusedError(
                f"Rollout {_name(rollout)}, canary step {number}: {error.reason}"
            ) from None
    return steps


def background_analysis(rollout: Mapping[str, Any]) -> BackgroundAnalysis | None:
    """Read `spec.strategy.canary.analysis`; None where there is none."""
    value = _strategy(rollout, "canary").get("analysis")
    if value is None:
        return None
    try:
        if not isinstance(value, Mapping):
            raise RefusedError("it is not a mapping")
        start = value.get("startingStep", 0)
        if isinstance(start, bool) or not isinstance(start, int):
            raise RefusedError(f"startingStep must be an integer, found {start!r}")
        plain = {field: given for field, given in value.items() if field != "startingStep"}
        return BackgroundAnalysis(read_analysis(plain), start)
    except RefusedError as error:
        raise RefusedError(
            f"Rollout {_name(rollout)}, background analysis: {error.reason}"
        ) from None


def promotion_analyses(
    rollout: Mapping[str, Any],
) -> tuple[AnalysisStep | None, AnalysisStep | None]:
    """The analyses before and after the promotion of a blue/green Rollout.

    Before it an abort leaves the traffic where it is, after it an abort takes it back.
    """
    strategy = _strategy(rollout, "blueGreen")
    found = []
    for field in ("prePromotionAnalysis", "postPromotionAnalysis"):
        value = strategy.get(field)
        try:
            found.append(None if value is None else read_analysis(value))
        except RefusedError as error:
            raise RefusedError(f"Rollout {_name(rollout)}, {field}: {error.reason}") from None
    return found[0], found[1]


def resolve_arguments(
    step: AnalysisStep,
    rollout: Mapping[str, Any],
    *,
    canary_hash: str,
    stable_hash: str,
    pods: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Values of a step's arguments, as the controller takes them from the Rollout.

    `pods` are the values of an experiment's tags, such as `templates.a.replicaset.name`.
    Raises RefusedError for a path that leads nowhere or to no single value.
    """
    hashes = {"Latest": canary_hash, "Stable": stable_hash}
    return {
        argument.name: resolve_argument(argument, rollout, hashes, pods)
        for argument in step.arguments
    }


def step_analysis(
    step: AnalysisStep, templates: Mapping[str, AnalysisTemplate], arguments: Mapping[str, str]
) -> Analysis:
    """The analysis of a step; raises RefusedError for a template that does not exist."""
    for name in step.templates:
        if name not in templates:
            raise RefusedError("no such template", template=name)
    chosen = [templates[name] for name in step.templates]
    return Analysis(chosen, arguments, dry_run=step.dry_run, retention=step.retention)


def experiment_phase(analyses: Iterable[Phase]) -> Phase:
    """Phase of an experiment, all of whose analyses it waits for.

    The first that ends otherwise ends it: Failed before Error before Inconclusive.
    """
    phases = set(analyses)
    for bad in (Phase.FAILED, Phase.ERROR, Phase.INCONCLUSIVE):
        if bad in phases:
            return bad
    return Phase.SUCCESSFUL if phases == {Phase.SUCCESSFUL} else Phase.RUNNING


def _strategy(rollout: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    strategy = dig(rollout, "spec", "strategy", name)
    if not isinstance(strategy, Mapping):
        raise RefusedError(f"Rollout {_name(rollout)} has no {name} strategy")
    return strategy


def _name(rollout: Mapping[str, Any]) -> str:
    return str(dig(rollout, "metadata", "name") or "without name")
