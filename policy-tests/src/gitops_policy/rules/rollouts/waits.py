"""A canary is seen before more of the traffic goes to it."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.analyses import steps
from gitops_policy.fields import Path, mapping
from gitops_policy.kubernetes.scaling import count
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_CANARY = "https://argoproj.github.io/argo-rollouts/features/canary/"
_CANARY_PATH: Path = ("spec", "strategy", "canary")
_WAITS = ("analysis", "pause", "experiment")


@rule(
    id="canary-step-waits",
    title="A share of the traffic is watched before it grows",
    severity="warning",
    rationale="Steps follow each other at once: a weight that nothing waits at is no canary.",
    references=[_CANARY],
    kinds=["argoproj.io/Rollout"],
)
def canary_step_waits(rollout: Resource) -> Iterator[Problem]:
    """Between a weight below 100 and the next one, or the end, stands a pause or an analysis.

    A Rollout that routes traffic has steps; one with a background analysis waits as it likes.
    """
    canary = mapping(rollout.content, *_CANARY_PATH)
    if mapping(canary, "trafficRouting") and not steps(rollout):
        path = (*_CANARY_PATH, "steps")
        yield rollout.problem(path, "all traffic moves at once: there are no steps", "add steps")
    share: int | None = None
    weighed = 0
    for i, step in enumerate([*steps(rollout), {"setWeight": 100}]):
        content = mapping(step)
        if "setWeight" in content:
            if share is not None:
                yield rollout.problem(
                    (*_CANARY_PATH, "steps", weighed),
                    f"nothing waits at {share} % of the traffic",
                    "add an analysis or a pause behind it",
                )
            weight = count(content.get("setWeight"), 0)
            share, weighed = (weight if 0 < weight < 100 else None), i
        elif any(name in content for name in _WAITS):
            share = None
