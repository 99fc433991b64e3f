"""Rollouts whose analyses, in a step and beside it, end in every way: what the release does."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from canary_gate import (
    Action,
    AnalysisStep,
    Phase,
    canary_steps,
    load_templates,
    resolve_arguments,
    rollout_action,
    run_analysis,
    step_analysis,
)
from canary_gate.prometheus import PrometheusProvider

from e2e.oracles.gate.case import Object, VirtualClock
from e2e.oracles.gate.controller import ARGO, Controller, NotEndedError, completed
from e2e.oracles.gate.scripted_prometheus import Answer, Script, ScriptedPrometheus, refused, vector

_CORE = "/api/v1"
_ENDS: Mapping[str, Answer] = {
    "passes": vector("0"),
    "fails": vector("9"),
    "is-undecided": vector("3"),
    "errs": refused(503, "unavailable", "down"),
}
_QUERY = "requests"


@dataclass(frozen=True)
class Release:
    """How the analysis of the step ends, and how the one beside it does, where there is one."""

    step: str
    background: str = ""

    @property
    def name(self) -> str:
        """Name of the Rollout."""
        beside = f"-while-one-{self.background}" if self.background else ""
        return f"step-{self.step}{beside}"

    def templates(self, prometheus: ScriptedPrometheus) -> list[Object]:
        """The AnalysisTemplates of the Rollout, each with a script of its own."""
        ends = {"step": self.step} | ({"beside": self.background} if self.background else {})
        return [self._template(place, end, prometheus) for place, end in ends.items()]

    def _template(self, place: str, end: str, prometheus: ScriptedPrometheus) -> Object:
        name = f"{self.name}-{place}"
        script = {_QUERY: [_ENDS.get(end, _ENDS["passes"])] * 60}
        metric: Object = {
            "name": "requests",
            "successCondition": "result[0] < {{args.limit}}",
            "failureCondition": "result[0] > 5",
            "consecutiveErrorLimit": 0,
            "provider": {
                "prometheus": {"address": prometheus.play(name, Script(script)), "query": _QUERY}
            },
        }
        # One that goes on ends with the release.
        metric |= {"interval": "4s"} if end == "goes-on" else {"count": 1}
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "AnalysisTemplate",
            "metadata": {"name": name},
            "spec": {
                "args": [{"name": "limit"}, {"name": "hash"}, {"name": "stable", "value": "x"}],
                "metrics": [metric],
            },
        }

    def rollout(self) -> Object:
        """The Rollout; nobody schedules its pods, the oracle says that they are ready."""
        arguments = [
            {"name": "limit", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['limit']"}}},
            {"name": "hash", "valueFrom": {"podTemplateHashValue": "Latest"}},
            {"name": "stable", "valueFrom": {"podTemplateHashValue": "Stable"}},
        ]
        beside = {"templates": [{"templateName": f"{self.name}-beside"}], "args": arguments}
        step = {"templates": [{"templateName": f"{self.name}-step"}], "args": arguments}
        return {
            "apiVersion": "argoproj.io/v1alpha1",
            "kind": "Rollout",
            "metadata": {"name": self.name, "labels": {"limit": "1"}},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": {"app": self.name}},
                "strategy": {
                    "canary": {
                        "steps": [{"analysis": step}, {"pause": {}}],
                        **({"analysis": beside} if self.background else {}),
                    }
                },
                "template": {
                    "metadata": {"labels": {"app": self.name}},
                    "spec": {
                        "schedulerName": "nobody",
                        "containers": [{"name": "none", "image": "none"}],
                    },
                },
            },
        }


def releases() -> list[Release]:
    """Every pair that has one outcome.

    Where the step is undecided the release waits, and a failure beside it counts only if it
    came before: no pair of these.
    """
    beside = ("", "passes", "goes-on", "fails", "errs", "is-undecided")
    return [
        Release(step, background)
        for step in _ENDS
        for background in beside
        if (step, background) not in (("is-undecided", "fails"), ("is-undecided", "errs"))
        and not (step in ("fails", "errs") and background == "is-undecided")
    ]


def expected(release: Release, rollout: Object, prometheus: ScriptedPrometheus) -> Action | None:
    """What our evaluator says that the release does."""
    templates = release.templates(prometheus)
    steps = [step for step in canary_steps(rollout) if isinstance(step, AnalysisStep)]
    phase = _phase(steps[0], rollout, templates[0])
    if not release.background or release.background == "goes-on":
        return rollout_action(phase)
    # The step's arguments are those of the analysis beside it too.
    beside = AnalysisStep((f"{release.name}-beside",), steps[0].arguments)
    return rollout_action(phase, _phase(beside, rollout, templates[1]))


def _phase(step: AnalysisStep, rollout: Object, document: Object) -> Phase:
    (metric,) = document["spec"]["metrics"]
    prometheus = dict(metric["provider"]["prometheus"])
    address = prometheus.pop("address")
    spec = {**document["spec"], "metrics": [metric | {"provider": {"prometheus": prometheus}}]}
    templates = load_templates([{**document, "spec": spec}])
    arguments = resolve_arguments(step, rollout, canary_hash="c", stable_hash="s")
    analysis = step_analysis(step, templates, arguments)
    clock = VirtualClock()
    with PrometheusProvider(address) as provider:
        run = run_analysis(analysis, provider, clock=lambda: clock.now, sleep=clock.sleep)
    return run.phase


def action(rollout: Object) -> Action | None:
    """What a Rollout has done; None where it is still at it."""
    status = rollout.get("status", {})
    reasons = [condition["reason"] for condition in status.get("pauseConditions") or []]
    if status.get("abort"):
        return Action.ABORT
    if "InconclusiveAnalysisRun" in reasons:
        return Action.PAUSE
    return Action.ADVANCE if status.get("currentStepIndex") == 1 else None


async def play(
    all_releases: Sequence[Release],
    side: Controller,
    prometheus: ScriptedPrometheus,
    within: float,
) -> dict[str, Object]:
    """Deploy each Rollout, change it, and wait until its analyses have ended."""
    for release in all_releases:
        await side.create(release.templates(prometheus))
    await side.create([release.rollout() for release in all_releases])
    limit = time.monotonic() + within
    names = [release.name for release in all_releases]
    await _until(side, names, lambda rollout: rollout["status"].get("phase") == "Healthy", limit)
    for name in names:
        change = {"spec": {"template": {"metadata": {"annotations": {"version": "2"}}}}}
        await side.call("PATCH", ARGO, f"rollouts/{name}", change)
    await _until(side, names, lambda rollout: action(rollout) is not None, limit)
    await _until_runs_have_ended(side, limit)
    return await side.objects("Rollout")


async def _until(side: Controller, names: Sequence[str], holds: Any, limit: float) -> None:
    while True:
        await _make_pods_ready(side)
        found = await side.objects("Rollout")
        waiting = [name for name in names if "status" not in found[name] or not holds(found[name])]
        if not waiting:
            return
        if time.monotonic() > limit:
            raise NotEndedError(f"these Rollouts do not get on: {', '.join(waiting)}")
        await asyncio.sleep(1)


async def _until_runs_have_ended(side: Controller, limit: float) -> None:
    # What goes on beside a release that advanced goes on; everything else has an end.
    while time.monotonic() < limit:
        runs = (await side.objects("AnalysisRun")).values()
        if all(completed(run) or "goes-on" in run["metadata"]["name"] for run in runs):
            await asyncio.sleep(3)
            return
        await asyncio.sleep(1)


async def _make_pods_ready(side: Controller) -> None:
    pods = [
        pod["metadata"]["name"]
        for pod in (await side.call("GET", _CORE, "pods"))["items"]
        if pod["status"].get("phase") == "Pending" and "deletionTimestamp" not in pod["metadata"]
    ]
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    await asyncio.gather(
        *(side.call("PATCH", _CORE, f"pods/{pod}/status", {"status": ready}) for pod in pods)
    )
