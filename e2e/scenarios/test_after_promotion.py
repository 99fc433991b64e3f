"""Bad after promotion: a revert to one of the last releases skips the steps, an older one not."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from model_pipeline import ModelRelease

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import assert_nothing_lost
from e2e.scenarios.models import Models
from e2e.scenarios.traffic import QUIET_RATE

# rollbackWindow.revisions of base/inference/rollout.yaml.
WINDOW = 3
BACK_SECONDS = 90
# Until Envoy has the pods that the Services select.
SWITCH_SECONDS = 3


def promote_by_hand(environment: Environment, model: ModelRelease) -> None:
    """Release past the gate, as a person may: another release of the history."""
    before = environment.timeline.now("rollout.stable")
    environment.wait_synced(environment.release(model))
    environment.promote_by_hand()
    environment.wait(
        f"{model.run_id} to be promoted",
        lambda seen: (
            seen.now("rollout.phase") == "Healthy"
            and seen.now("rollout.stable") == seen.now("rollout.current") != before
        ),
        BACK_SECONDS,
    )


@pytest.mark.limit(420)
def test_a_revert_within_the_rollback_window_skips_the_steps(
    staging: Environment, models: Models, evidence: Evidence
) -> None:
    with staging.traffic() as traffic:
        evidence.mark("commit, promoted by a person")
        promote_by_hand(staging, models["good"])
        staging.wait_healthy(BACK_SECONDS)
        past_the_last = staging.timeline.now("rollout.step")
        reverted_at = time.time()
        evidence.mark("git revert", reverted_at)
        staging.wait_synced(staging.revert())
        took = staging.wait_promoted(models["stable"], BACK_SECONDS) - reverted_at
        evidence.note("back after the revert", f"{took:.1f} s")
        staging.wait_weight(0, BACK_SECONDS)
        settled = time.time() + SWITCH_SECONDS
        time.sleep(2 * SWITCH_SECONDS)
    assert not staging.timeline.runs(reverted_at), "the way back asked the gate"
    # Weights do not say it: past the steps the controller gives what the ready servers can take.
    steps = {change.value for change in staging.timeline.history("rollout.step", reverted_at)}
    assert steps <= {0, past_the_last}, f"the way back climbed steps {sorted(steps)}"
    assert set(traffic.by_version(settled)) == {"1"}
    assert_nothing_lost(traffic)


@pytest.mark.limit(420)
def test_a_revert_outside_the_rollback_window_climbs_the_ladder(
    staging: Environment, models: Models, evidence: Evidence
) -> None:
    first, begin = staging.timeline.now("rollout.current"), staging.branch.head()
    with staging.traffic(QUIET_RATE) as traffic:
        for number in range(1, WINDOW + 2):
            evidence.mark(f"release {number}, promoted by a person")
            promote_by_hand(staging, replace(models["good"], run_id=f"release-{number}"))
        since = time.time()
        evidence.mark("git revert of all of them", since)
        staging.wait_synced(staging.revert(f"{begin}..HEAD"))
        staging.wait_weight(10)
        assert staging.timeline.now("rollout.current") == first
        assert staging.timeline.runs(since), "the gate was not asked"
    assert_nothing_lost(traffic)
