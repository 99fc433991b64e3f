"""A good release by a commit: real traffic shares, no request lost, promoted."""

from __future__ import annotations

import time

import pytest

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import (
    assert_canary_served_throughout,
    assert_enough_canary_pods,
    assert_nothing_lost,
    assert_shares,
    share_errors,
    weighted_steps,
    weights,
)
from e2e.scenarios.models import Models
from e2e.scenarios.traffic import Traffic

LADDER = [0, 10, 50, 100, 0]
WAITS_SECONDS = 15


def judge(environment: Environment, traffic: Traffic, evidence: Evidence, since: float) -> None:
    """The whole ladder was climbed, on real traffic, with pods enough and nothing lost."""
    until = time.time()
    steps = weighted_steps(environment, since, until)
    for step, got, total, off in share_errors(traffic, steps, "2"):
        evidence.note(f"share at {step.weight} %", f"{got} of {total} ({off:+.1f} sd)")
    evidence.note("requests", len(traffic.answers()))
    evidence.note("lost", len(traffic.lost()))
    assert weights(environment, since) == LADDER
    assert [step.weight for step in steps] == [10, 50]
    assert_shares(traffic, steps, "2")
    assert_canary_served_throughout(traffic, steps, "2")
    assert_enough_canary_pods(environment, since, until)
    assert_nothing_lost(traffic)
    assert set(environment.timeline.runs(since).values()) == {"Successful"}


@pytest.mark.limit(360)
def test_a_good_release_is_promoted_by_a_commit(
    staging: Environment, models: Models, evidence: Evidence
) -> None:
    with staging.traffic() as traffic:
        since = time.time()
        evidence.mark("commit")
        revision = staging.release(models["good"])
        staging.wait_synced(revision)
        evidence.mark("promoted", staging.wait_promoted(models["good"]))
        staging.wait_healthy(30)
        time.sleep(2)
    judge(staging, traffic, evidence, since)
    assert set(traffic.by_version(time.time() - 2)) <= {"2", None}


@pytest.mark.limit(400)
def test_production_waits_for_a_person_and_is_then_promoted(
    production: Environment, models: Models, evidence: Evidence
) -> None:
    with production.traffic() as traffic:
        evidence.mark("commit")
        revision = production.release(models["good"])
        production.wait(
            "Argo CD to see the commit",
            lambda seen: (
                seen.now("application.revision") == revision
                and seen.now("application.sync") == "OutOfSync"
            ),
            within=30,
        )
        time.sleep(WAITS_SECONDS)
        assert production.timeline.now("rollout.release") == "1"
        assert traffic.by_version().keys() == {"1"}
        since = time.time()
        evidence.mark("sync by a person")
        production.sync(revision)
        evidence.mark("promoted", production.wait_promoted(models["good"]))
        time.sleep(2)
    judge(production, traffic, evidence, since)
