"""Controllers restart in the middle of a canary: no step is lost, repeated or passed unseen."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import ExitStack
from typing import Any

import pytest

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import (
    assert_back_in_time,
    assert_enough_canary_pods,
    assert_nothing_lost,
    assert_shares,
    step_runs,
    wait_verdict,
    weighted_steps,
    weights,
)
from e2e.scenarios.facts import ROLLOUT
from e2e.scenarios.models import Models
from e2e.scenarios.parts import Parts

pytestmark = pytest.mark.alone("argo-rollouts")

LADDER = [0, 10, 50, 100, 0]
# The questions before any user, at 10 % and at 50 %, and who restarts while they are asked.
RESTARTS = {
    0: ("argo-rollouts",),
    10: ("envoy-gateway", "argocd-application-controller"),
    50: ("prometheus", "argo-rollouts"),
}
ALL = ("argo-rollouts", "argocd-application-controller", "envoy-gateway", "prometheus")
STEP_SECONDS = 120
AFTER_SECONDS = 6
# Four programs that start at once take their share of a small machine.
RATE = 100


def steps(environment: Environment) -> list[dict[str, Any]]:
    """The ladder as the Rollout has it."""
    found = environment.find("rollouts.argoproj.io", ROLLOUT).raw["spec"]["strategy"]["canary"]
    return list(found["steps"])


def questions(ladder: list[dict[str, Any]]) -> dict[int, int]:
    """Of each weight the step that asks the questions first."""
    weight, found = 0, dict[int, int]()
    for number, step in enumerate(ladder):
        weight = step.get("setWeight", weight)
        if "analysis" in step:
            found.setdefault(weight, number)
    return found


def wait_step(environment: Environment, number: int) -> None:
    environment.wait(
        f"step {number} to begin", lambda seen: seen.now("rollout.step") == number, STEP_SECONDS
    )


def restart(parts: Parts, names: tuple[str, ...], evidence: Evidence) -> None:
    """Stop all of them, then start them again."""
    begin = time.time()
    evidence.mark(f"{' and '.join(names)} stopped", begin)
    with ExitStack() as stopped:
        for name in names:
            stopped.enter_context(parts.without(name))
    evidence.note(f"{' and '.join(names)} away", f"{time.time() - begin:.1f} s")


def assert_each_question_was_asked_once(environment: Environment) -> None:
    """No step was skipped, none ran twice, and none passed without a measurement."""
    runs = step_runs(environment)
    asked = Counter(int(run["metadata"]["labels"]["step-index"]) for run in runs)
    assert asked == {
        number: 1 for number, step in enumerate(steps(environment)) if "analysis" in step
    }
    for run in runs:
        assert run["status"]["phase"] == "Successful"
        measured = {each["name"]: each for each in run["status"]["metricResults"]}
        assert measured.keys() == {metric["name"] for metric in run["spec"]["metrics"]}
        unseen = [name for name, each in measured.items() if not each.get("successful")]
        assert not unseen, f"step {run['metadata']['labels']} passed without {unseen}"


@pytest.mark.limit(420)
def test_a_good_release_is_promoted_although_controllers_restart(
    staging: Environment, models: Models, parts: Parts, evidence: Evidence
) -> None:
    asked = questions(steps(staging))
    with staging.traffic() as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.release(models["good"])
        for weight, names in RESTARTS.items():
            wait_step(staging, asked[weight])
            restart(parts, names, evidence)
        evidence.mark("promoted", staging.wait_promoted(models["good"]))
        staging.wait_healthy(60)
        until = time.time()
    climbed = [c.value for c in staging.timeline.history("rollout.step", since) if c.value]
    evidence.note("steps", climbed)
    evidence.note("lost", len(traffic.lost()))
    assert weights(staging, since) == LADDER
    assert climbed == list(range(1, len(steps(staging)) + 1))
    assert_each_question_was_asked_once(staging)
    assert_shares(traffic, weighted_steps(staging, since, until), "2")
    assert_enough_canary_pods(staging, since, until)
    assert_nothing_lost(traffic)


@pytest.mark.limit(360)
def test_a_bad_release_is_aborted_although_controllers_restart(
    staging: Environment, models: Models, parts: Parts, evidence: Evidence
) -> None:
    model = models["errors"]
    canary = str(model.version)
    with staging.traffic(RATE) as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.release(model)
        wait_step(staging, questions(steps(staging))[10])
        restart(parts, ALL, evidence)
        staging.wait_aborted()
        decided = wait_verdict(staging, since)
        evidence.mark(f"verdict: {decided.value}", decided.at)
        time.sleep(AFTER_SECONDS)
        took = assert_back_in_time(staging, traffic, decided.at, canary)
    evidence.note("traffic back after the verdict", f"{took:.1f} s")
    assert decided.value == "Failed"
    assert weights(staging, since) == [0, 10, 0]
    assert staging.timeline.now("rollout.stable") != staging.timeline.now("rollout.current")
    assert_nothing_lost(traffic, but_of=canary)
