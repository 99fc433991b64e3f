"""Four writers of one release: HPA, Rollouts, the traffic router and Argo CD do not fight."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml

from e2e.scenarios.environment import Environment, OpenEnvironment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import (
    assert_canary_served_throughout,
    assert_nothing_lost,
    flips,
    weighted_steps,
    weights,
)
from e2e.scenarios.models import Models
from e2e.scenarios.traffic import RATE

WATCH_SECONDS = 60
SCALE_SECONDS = 60
LADDER = [0, 10, 50, 100, 0]
# Both commits of the test; a third time out of sync would be a field that someone writes back.
COMMITS = 2
# The adapter's rate is one of two minutes: young traffic is far below 150 requests/s to it.
REQUESTS_PER_POD = 10
MOST_PODS = 4
SUBJECTS = (
    "route.canary",
    "route.stable",
    "service.stable",
    "service.canary",
    "rollout.release",
)


@pytest.mark.limit(420)
def test_nothing_flips_while_a_canary_is_scaled_and_synced(
    open_in_cluster: OpenEnvironment, models: Models, evidence: Evidence
) -> None:
    # An HPA that has its own way for minutes is not brought back in seconds.
    staging = open_in_cluster("staging")
    timeline = staging.timeline
    with staging.traffic(RATE) as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.wait_synced(staging.release(models["good"]))
        staging.wait_weight(10)
        before = timeline.now("rollout.replicas")
        # A sync in the middle of the canary, and from then on the HPA scales.
        evidence.mark("commit of another HPA target")
        staging.wait_synced(staging.commit("Scale earlier", scale_earlier))
        assert timeline.now("route.canary") == 10, "the sync put the weights back"
        staging.wait(
            "the HPA to scale the Rollout",
            lambda seen: seen.now("rollout.replicas") > before,
            SCALE_SECONDS,
        )
        evidence.mark("scaled by the HPA")
        still = timeline.now("rollout.current") != timeline.now("rollout.stable")
        assert still, "the canary had ended before the HPA scaled"
        staging.wait_promoted(models["good"])
        time.sleep(max(0.0, since + WATCH_SECONDS - time.time()))
    until = time.time()
    steps = weighted_steps(staging, since, until)
    evidence.note("watched", f"{until - since:.0f} s")
    evidence.note("replicas", [c.value for c in timeline.history("rollout.replicas", since)])
    for subject in SUBJECTS:
        assert not flips(timeline, subject, since, until), f"{subject} was written back and forth"
    assert weights(staging, since) == LADDER
    wanted = {c.value for c in timeline.history("autoscaler.desired", since)}
    assert {c.value for c in timeline.history("rollout.replicas", since)} <= wanted
    out = [c for c in timeline.history("application.sync", since) if c.value == "OutOfSync"]
    assert len(out) <= COMMITS
    assert "argocd-controller" not in owners_of_replicas(staging)
    assert [step.weight for step in steps] == [10, 50]
    assert_canary_served_throughout(traffic, steps, "2")
    assert_nothing_lost(traffic)


def scale_earlier(repository: Path) -> None:
    """A lower target of the requests metric, where the base has it, and a lower limit."""
    path = repository / "base/inference/horizontalpodautoscaler.yaml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    (pods,) = [each["pods"] for each in content["spec"]["metrics"] if each["type"] == "Pods"]
    pods["target"]["averageValue"] = str(REQUESTS_PER_POD)
    content["spec"]["maxReplicas"] = MOST_PODS
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def owners_of_replicas(environment: Environment) -> set[str]:
    """Who has written how many pods the Rollout has."""
    found = environment.find("rollouts.argoproj.io", "inference")
    return {
        entry["manager"]
        for entry in found.raw["metadata"]["managedFields"]
        if "f:replicas" in entry["fieldsV1"].get("f:spec", {})
    }
