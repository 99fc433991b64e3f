"""The steps of a release: pods before traffic, gates that hold it up, no endless wait."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.argo.analyses import analyses, steps
from gitops_policy.fields import Path, entries, field, mapping
from gitops_policy.kubernetes.scaling import count
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_CANARY = "https://argoproj.github.io/argo-rollouts/features/canary/"
_ROLLOUT = ["argoproj.io/Rollout"]
_STEPS_PATH: Path = ("spec", "strategy", "canary", "steps")


@rule(
    id="canary-scale-follows-weight",
    title="The canary has as many pods as its share of the traffic needs",
    severity="error",
    rationale="A fixed setCanaryScale holds until the next one: half of production meets one pod.",
    references=[_CANARY + "#controlling-canary-scale"],
    kinds=_ROLLOUT,
)
def canary_scale_follows_weight(rollout: Resource) -> Iterator[Problem]:
    """No weight is set, and no analysis runs at one, while a smaller fixed scale holds."""
    weight, scale = 0, None
    for i, step in enumerate(steps(rollout)):
        if "setCanaryScale" in mapping(step):
            fixed = mapping(step, "setCanaryScale")
            scale = None if fixed.get("matchTrafficWeight") is True else fixed
        weight = count(field(step, "setWeight"), weight)
        moved = "setWeight" in mapping(step) or "setCanaryScale" in mapping(step)
        if moved and weight and scale is not None and not _enough(rollout, scale, weight):
            yield rollout.problem(
                (*_STEPS_PATH, i),
                f"{weight} % of the traffic, but the scale is fixed to {_said(scale)}",
                "before: setCanaryScale: {weight: N}; after: {matchTrafficWeight: true}",
            )


def _said(scale: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in scale.items())


def _enough(rollout: Resource, scale: dict[str, Any], weight: int) -> bool:
    """Say whether a fixed scale has the pods for a weight; replicas only where Git has theirs."""
    stable = count(rollout.spec.get("replicas"), 0)
    fixed = count(scale.get("replicas"), 0)
    return count(scale.get("weight"), 0) >= weight or 0 < stable * weight <= fixed * 100


@rule(
    id="canary-scale-keeps-pods",
    title="No step takes the canary's pods away again",
    severity="warning",
    rationale="matchTrafficWeight at weight 0 means no pods: what was warmed up is deleted.",
    references=[_CANARY + "#controlling-canary-scale"],
    kinds=_ROLLOUT,
)
def canary_scale_keeps_pods(rollout: Resource) -> Iterator[Problem]:
    """matchTrafficWeight after a fixed scale comes only once there is a weight."""
    weight, fixed = 0, False
    for i, step in enumerate(steps(rollout)):
        weight = count(field(step, "setWeight"), weight)
        scale = mapping(step, "setCanaryScale")
        if fixed and scale.get("matchTrafficWeight") is True and weight == 0:
            yield rollout.problem(
                (*_STEPS_PATH, i),
                "matching a weight of 0 deletes the pods that an earlier step started",
                "move it behind the first setWeight",
            )
        if scale:
            fixed = scale.get("matchTrafficWeight") is not True


@rule(
    id="rollout-gate-is-inline",
    title="A Rollout with analysis has an inline analysis step",
    severity="error",
    rationale="A background analysis that ends without a measurement counts as successful.",
    references=["https://argoproj.github.io/argo-rollouts/features/analysis/"],
    kinds=_ROLLOUT,
)
def rollout_gate_is_inline(rollout: Resource) -> Iterator[Problem]:
    """Background analysis is only an addition to analysis steps."""
    found = list(analyses(rollout))
    if found and not any(analysis.inline for analysis in found):
        yield rollout.problem(
            found[0].path,
            "the only gate runs in the background: no measurement would be a pass",
            "add the templates as an analysis step after setWeight",
        )


@rule(
    id="no-indefinite-pause",
    title="A pause has a duration",
    severity="warning",
    rationale="A pause without duration waits for a person, who is not told.",
    references=[_CANARY + "#pause-duration"],
    kinds=_ROLLOUT,
    known_as=["datree:38"],
)
def no_indefinite_pause(rollout: Resource) -> Iterator[Problem]:
    """Each pause step sets a duration."""
    for i, step in entries(rollout.content, *_STEPS_PATH):
        if "pause" in step and not mapping(step, "pause").get("duration"):
            yield rollout.problem(
                (*_STEPS_PATH, i, "pause"), "waits for ever", "set a duration, or use an analysis"
            )


@rule(
    id="blue-green-scale-down-delay",
    title="A blue/green Rollout keeps the old pods for a while",
    severity="warning",
    rationale="Below 30 seconds old pods go before every node has changed its rules.",
    references=["https://argoproj.github.io/argo-rollouts/features/bluegreen/"],
    kinds=_ROLLOUT,
    known_as=["datree:42"],
)
def blue_green_scale_down_delay(rollout: Resource) -> Iterator[Problem]:
    """scaleDownDelaySeconds is 30 (the default) or more."""
    path = ("spec", "strategy", "blueGreen", "scaleDownDelaySeconds")
    delay = count(field(rollout.content, *path), 30)
    if delay < 30:
        yield rollout.problem(path, f"only {delay} s", "set it to 30 or more")


@rule(
    id="blue-green-delay-explicit",
    title="A blue/green Rollout says how long the old pods stay",
    severity="info",
    rationale="Written out, the delay is a decision; the default may change with the controller.",
    references=["https://argoproj.github.io/argo-rollouts/features/bluegreen/"],
    kinds=_ROLLOUT,
    known_as=["datree:42"],
    default=False,
)
def blue_green_delay_explicit(rollout: Resource) -> Iterator[Problem]:
    """A blueGreen strategy sets scaleDownDelaySeconds."""
    path = ("spec", "strategy", "blueGreen")
    found = field(rollout.content, *path)
    if found is not None and field(found, "scaleDownDelaySeconds") is None:
        yield rollout.problem((*path, "scaleDownDelaySeconds"), "it is not written", "set it to 30")


@rule(
    id="rollout-history-explicit",
    title="A Rollout says how many revisions it keeps",
    severity="info",
    rationale="Written out, the way back is a decision; the default may change.",
    references=["https://argoproj.github.io/argo-rollouts/features/specification/"],
    kinds=_ROLLOUT,
    known_as=["datree:41"],
    default=False,
)
def rollout_history_explicit(rollout: Resource) -> Iterator[Problem]:
    """spec.revisionHistoryLimit is written."""
    if field(rollout.spec, "revisionHistoryLimit") is None:
        yield rollout.problem(("spec", "revisionHistoryLimit"), "it is not written", "set it to 5")
