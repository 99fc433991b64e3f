"""Rollback through Argo CD: refused where Git is followed, one more release where it is not."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from e2e.scenarios.argo_cd import RefusedError
from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.manifests import add_resource
from e2e.scenarios.models import Models

BACK_SECONDS = 60
CANARY_SECONDS = 90
NOTE = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "note"}, "data": {"a": "1"}}


@pytest.mark.limit(120)
def test_a_rollback_is_refused_while_argo_cd_follows_git(
    staging: Environment, evidence: Evidence
) -> None:
    def add_note(repository: Path) -> None:
        add_resource(staging.overlay(repository), "note.yaml", NOTE)

    revision = staging.commit("Add a note", add_note)
    staging.wait_synced(revision)
    first, *_ = staging.control.argocd.history(staging.application)
    with pytest.raises(RefusedError) as refused:
        staging.control.argocd.rollback(staging.application, first["id"])
    evidence.note("Argo CD says", str(refused.value))
    assert "rollback cannot be initiated when auto-sync is enabled" in str(refused.value)
    assert staging.find("configmaps", "note").raw["data"] == NOTE["data"]
    assert staging.timeline.now("application.synced-revision") == revision


@pytest.mark.limit(300)
def test_a_rollback_of_production_is_a_release_like_any_other(
    production: Environment, models: Models, evidence: Evidence
) -> None:
    argocd, timeline = production.control.argocd, production.timeline
    stable = timeline.now("rollout.stable")
    begun_at = time.time()
    production.sync(production.release(models["good"]))
    wait_canary(production, stable, begun_at)
    canary = timeline.now("rollout.current")
    first, second = argocd.history(production.application)[-2:]

    back_at = time.time()
    evidence.mark("rollback to version 1", back_at)
    argocd.rollback(production.application, first["id"])
    production.wait(
        "version 1 to be all there is",
        lambda seen: (
            seen.now("rollout.current") == seen.now("rollout.stable") == stable
            and seen.now("rollout.phase") == "Healthy"
            and seen.now("rollout.release") == "1"
        ),
        BACK_SECONDS,
    )
    evidence.note("back after the rollback", f"{time.time() - back_at:.1f} s")
    # The canary may have taken one more step before Argo CD applied the rollback.
    asked = [run for run in timeline.runs(back_at) if stable in run]
    assert not asked, f"the way back to stable asked the gate: {asked}"
    production.wait(
        "Argo CD to show that Git says something else",
        lambda seen: seen.now("application.sync") == "OutOfSync",
        BACK_SECONDS,
    )

    forward_at = time.time()
    evidence.mark("rollback to version 2", forward_at)
    argocd.rollback(production.application, second["id"])
    wait_canary(production, stable, forward_at)
    assert timeline.now("rollout.current") == canary
    assert timeline.runs(forward_at), "the gate was not asked"
    assert timeline.now("rollout.stable") == stable


def wait_canary(environment: Environment, stable: str, since: float) -> None:
    """Until a canary is being judged, or has been since then: no release skips the gate."""
    environment.wait(
        "the canary to be judged",
        lambda seen: (
            seen.now("rollout.current") != stable
            and seen.now("rollout.phase") in ("Progressing", "Paused")
            and seen.runs(since)
        ),
        CANARY_SECONDS,
    )
