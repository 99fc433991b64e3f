"""After an abort Git still asks for the bad release; a revert is the way back."""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import assert_nothing_lost
from e2e.scenarios.models import Models
from e2e.scenarios.places import TOOLS

BACK_SECONDS = 60


def rendered(overlay: Path) -> bytes:
    """The bytes that Kustomize makes of an overlay."""
    argv = [str(TOOLS / "kustomize"), "build", str(overlay)]
    return subprocess.run(argv, check=True, capture_output=True, timeout=60).stdout


@pytest.mark.limit(360)
def test_after_an_abort_a_revert_brings_back_what_was_there_without_steps(
    staging: Environment, models: Models, evidence: Evidence
) -> None:
    overlay = staging.overlay(staging.branch.folder)
    before, stable = rendered(overlay), staging.timeline.now("rollout.stable")
    model = models["shifted"]
    with staging.traffic() as traffic:
        evidence.mark("commit")
        bad = staging.release(model)
        evidence.mark("aborted", staging.wait_aborted())
        staging.wait(
            "the Application to be Synced and Degraded",
            lambda seen: (
                (seen.now("application.sync"), seen.now("application.health"))
                == ("Synced", "Degraded")
            ),
            within=30,
        )
        assert staging.timeline.now("application.revision") == bad
        assert staging.timeline.now("rollout.release") == str(model.version)
        assert staging.timeline.now("rollout.stable") == stable

        reverted_at = time.time()
        evidence.mark("git revert", reverted_at)
        reverted = staging.revert()
        assert rendered(overlay) == before
        staging.wait_synced(reverted)
        staging.wait_healthy(BACK_SECONDS)
        evidence.mark("Healthy again")
        evidence.note("Healthy after the revert", f"{time.time() - reverted_at:.1f} s")
    assert staging.timeline.now("rollout.current") == stable
    assert not staging.timeline.runs(reverted_at), "the way back asked the gate again"
    assert {c.value for c in staging.timeline.history("route.canary", reverted_at)} <= {0}
    assert_nothing_lost(traffic, but_of=str(model.version))
