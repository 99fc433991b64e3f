"""The other ladders, each climbed on the real controller with real traffic."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from e2e.scenarios import ladders
from e2e.scenarios.environment import ApplicationChange, Environment, OpenEnvironment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import (
    SETTLE_SECONDS,
    assert_canary_served_throughout,
    assert_enough_canary_pods,
    assert_nothing_lost,
    assert_shares,
    step_runs,
    weighted_steps,
    weights,
)
from e2e.scenarios.manifests import Document
from e2e.scenarios.models import Models
from e2e.scenarios.timeline import spans
from e2e.scenarios.traffic import QUIET_RATE, RATE

AFTER_SECONDS = 2
# ab-90-10-header divides the users by bucket in step 3, and asks its questions in step 4.
AB_STEP, AB_BUCKETS = 4, 10
SWITCH_SECONDS = 60
WEIGHTED = {
    "canary-10-25-50-100": [0, 10, 25, 50, 100, 0],
    "ab-90-10-weight": [0, 10, 100, 0],
}

OpenOn = Callable[..., Environment]


@pytest.fixture
def open_on(open_in_cluster: OpenEnvironment) -> OpenOn:
    """An environment like staging that has had its ladder from the first release on."""

    def make(
        change: Callable[[Path], None], application: ApplicationChange | None = None
    ) -> Environment:
        environment = open_in_cluster("staging", install=False)
        environment.branch.commit("Take another ladder", change)
        environment.install(application)
        return environment

    return make


def take_ladder(environment: Environment, change: Callable[[Path], None]) -> None:
    """Another ladder of weights for the next release."""
    environment.wait_synced(environment.commit("Take another ladder", change))


def measurements(run: dict[str, Any], metric: str) -> list[dict[str, Any]]:
    """What a run measured of a metric."""
    results = run["status"].get("metricResults", [])
    return [m for each in results if each["name"] == metric for m in each["measurements"]]


@pytest.mark.limit(360)
@pytest.mark.parametrize("ladder", WEIGHTED)
def test_a_ladder_of_weights_is_climbed_step_by_step(
    ladder: str, staging: Environment, models: Models, evidence: Evidence
) -> None:
    take_ladder(staging, lambda repository: ladders.take(repository, "staging", ladder))
    with staging.traffic() as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.release(models["good"])
        evidence.mark("promoted", staging.wait_promoted(models["good"]))
        time.sleep(AFTER_SECONDS)
        until = time.time()
    if ladder.startswith("ab-"):
        assert_agreement_was_recorded(staging, evidence)
    steps = weighted_steps(staging, since, until)
    assert weights(staging, since) == WEIGHTED[ladder]
    assert [step.weight for step in steps] == [w for w in WEIGHTED[ladder] if 0 < w < 100]
    assert_shares(traffic, steps, "2")
    assert_canary_served_throughout(traffic, steps, "2")
    assert_enough_canary_pods(staging, since, until)
    assert_nothing_lost(traffic)
    assert {run["status"]["phase"] for run in step_runs(staging)} == {"Successful"}


def assert_agreement_was_recorded(environment: Environment, evidence: Evidence) -> None:
    """The Experiment asked A and B the same before any user met B, and its pods are gone."""
    [experiment] = [e.raw for e in environment.find_all("experiments.argoproj.io")]
    assert experiment["status"]["phase"] == "Successful"
    [run] = [
        r.raw
        for r in environment.find_all("analysisruns.argoproj.io")
        if r.name == experiment["status"]["analysisRuns"][0]["analysisRun"]
    ]
    [measured] = measurements(run, "shadow-agreement")
    evidence.note("A and B side by side", measured)
    assert measured["phase"] == "Successful"
    assert {t["status"] for t in experiment["status"]["templateStatuses"]} == {"Successful"}


@pytest.mark.limit(360)
def test_with_a_ladder_of_headers_each_user_meets_one_version_all_along(
    open_on: OpenOn, models: Models, evidence: Evidence
) -> None:
    staging = open_on(
        lambda repository: ladders.take(repository, "staging", "ab-90-10-header"),
        ignore_added_rules,
    )
    with staging.traffic(RATE, bucketed=True) as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.wait_synced(staging.release(models["good"]))
        compared = time.time()
        evidence.mark("promoted", staging.wait_promoted(models["good"]))
    history = staging.timeline.history("rollout.step", since)
    [(begin, end)] = [(b, e) for b, e, step in spans(history, time.time()) if step == AB_STEP]
    answers = traffic.answers(begin + SETTLE_SECONDS, end - SETTLE_SECONDS)
    evidence.note("requests while users were divided", len(answers))
    assert {(a.bucket < AB_BUCKETS, a.version) for a in answers} == {(True, "2"), (False, "1")}
    assert weights(staging, since) == [0, 100, 0]
    out = [c.value for c in staging.timeline.history("application.sync", compared)]
    assert "OutOfSync" not in out, "the rule that the plugin adds shows as a difference"
    assert_nothing_lost(traffic)


def ignore_added_rules(application: Document) -> None:
    """What rollouts/ladders/README.md asks of an Application with this ladder."""
    (route,) = [
        each for each in application["spec"]["ignoreDifferences"] if each["kind"] == "HTTPRoute"
    ]
    route["jsonPointers"].append("/spec/rules/1")


@pytest.mark.limit(360)
def test_shadow_records_how_often_two_versions_agree_before_a_user_meets_the_new_one(
    staging: Environment, models: Models, evidence: Evidence
) -> None:
    take_ladder(staging, lambda repository: ladders.add(repository, "staging", "shadow"))
    with staging.traffic(QUIET_RATE) as traffic:
        since = time.time()
        staging.release(models["shifted"])
        # It decides nothing: versions that disagree meet users all the same.
        staging.wait_weight(10)
    [run] = [r for r in step_runs(staging) if r["metadata"]["labels"]["step-index"] == "1"]
    [measured] = measurements(run, "shadow-agreement")
    evidence.note("agreement", measured)
    assert run["status"]["phase"] == "Successful"
    assert [each["name"] for each in run["status"]["metricResults"] if each.get("dryRun")] == [
        "shadow-agreement"
    ]
    assert measured["phase"] == "Failed", "a shifted model agrees with the one before it"
    assert staging.timeline.at("route.canary", since) == 0
    assert_nothing_lost(traffic, but_of=str(models["shifted"].version))


@pytest.mark.limit(360)
def test_blue_green_switches_all_users_at_once_and_back_by_a_revert(
    open_on: OpenOn, models: Models, evidence: Evidence
) -> None:
    def change(repository: Path) -> None:
        ladders.take(repository, "staging", "blue-green")
        ladders.without_canary_pace(repository)

    staging = open_on(change)
    blue = staging.timeline.now("service.stable")
    with staging.traffic(RATE) as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.release(models["good"])
        switched = wait_service(staging, lambda pod_hash: pod_hash != blue, within=240)
        evidence.mark("switched", switched)
        green = staging.timeline.now("service.stable")
        before = traffic.by_version(since, switched - 1)
        staging.wait_promoted(models["good"])
        evidence.mark("promoted")
        after = traffic.by_version(switched + AFTER_SECONDS)
        reverted = time.time()
        evidence.mark("git revert", reverted)
        staging.revert()
        back = wait_service(staging, lambda pod_hash: pod_hash == blue, SWITCH_SECONDS)
        evidence.mark("back", back)
        time.sleep(AFTER_SECONDS * 2)
        returned = traffic.by_version(back + AFTER_SECONDS)
    evidence.note("back after the revert", f"{back - reverted:.1f} s")
    assert (before.keys(), after.keys(), returned.keys()) == ({"1"}, {"2"}, {"1"})
    changes = [c.value for c in staging.timeline.history("service.stable", since)]
    assert changes == [green, blue], "users went to and fro"
    assert weights(staging, since) == [0]
    assert set(staging.timeline.runs(since).values()) == {"Successful"}
    assert not staging.timeline.runs(reverted), "the way back asked the gate again"
    assert_nothing_lost(traffic)


def wait_service(environment: Environment, wanted: Callable[[str], bool], within: float) -> float:
    """Until the Service of the users selects another version; the moment."""
    environment.wait("the Service to turn", lambda seen: wanted(seen.now("service.stable")), within)
    return environment.timeline.history("service.stable")[-1].at
