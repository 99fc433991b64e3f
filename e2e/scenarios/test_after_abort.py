"""After an abort Git still asks for the bad release; a revert is the way back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import assert_back_in_time, assert_nothing_lost, wait_verdict
from e2e.scenarios.models import Models
from e2e.scenarios.places import TOOLS

BACK_SECONDS = 60
REFUSES = {"prediction-psi", "class-ratio"}


def rendered(overlay: Path) -> bytes:
    """The bytes that Kustomize makes of an overlay."""
    argv = [str(TOOLS / "kustomize"), "build", str(overlay)]
    return subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout


@pytest.mark.limit(360)
def test_shifted_predictions_are_aborted_and_a_revert_brings_back_what_was_there_without_steps(
    staging: Environment, models: Models, evidence: Evidence
) -> None:
    overlay = staging.overlay(staging.branch.folder)
    before, stable = rendered(overlay), staging.timeline.now("rollout.stable")
    model = models["shifted"]
    canary = str(model.version)
    with staging.traffic() as traffic:
        since = time.time()
        evidence.mark("commit")
        bad = staging.release(model)
        staging.wait_aborted()
        decided = wait_verdict(staging, since)
        evidence.mark(f"verdict: {decided.value}", decided.at)
        staging.wait(
            "the Application to be Synced and Degraded",
            lambda seen: (
                (seen.now("application.sync"), seen.now("application.health"))
                == ("Synced", "Degraded")
            ),
            within=30,
        )
        assert staging.timeline.now("application.revision") == bad
        assert staging.timeline.now("rollout.release") == canary
        assert staging.timeline.now("rollout.stable") == stable

        reverted_at = time.time()
        evidence.mark("git revert", reverted_at)
        reverted = staging.revert()
        assert rendered(overlay) == before
        staging.wait_synced(reverted)
        staging.wait_healthy(BACK_SECONDS)
        evidence.mark("Healthy again")
        evidence.note("Healthy after the revert", f"{time.time() - reverted_at:.1f} s")
        took = assert_back_in_time(staging, traffic, decided.at, canary)
    refused = staging.timeline.metrics("Failed", since)
    evidence.note("refused by", ", ".join(sorted(refused)))
    evidence.note("traffic back after the verdict", f"{took:.1f} s")
    assert decided.value == "Failed"
    assert refused & REFUSES, f"refused by {sorted(refused)}, not for what is wrong with it"
    assert staging.timeline.now("rollout.current") == stable
    assert not staging.timeline.runs(reverted_at), "the way back asked the gate again"
    assert {c.value for c in staging.timeline.history("route.canary", reverted_at)} <= {0}
    assert_nothing_lost(traffic, but_of=canary)
