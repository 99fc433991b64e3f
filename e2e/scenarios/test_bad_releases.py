"""Bad releases: each is aborted, stable has its traffic back in seconds and loses nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from model_pipeline import ModelRelease

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import assert_back_in_time, assert_nothing_lost, wait_verdict
from e2e.scenarios.images import CRASHES, SLOW
from e2e.scenarios.models import Models
from e2e.scenarios.traffic import QUIET_RATE

AFTER_SECONDS = 6


@dataclass(frozen=True)
class Bad:
    """A bad release, and the questions of which at least one must have refused it."""

    model: Callable[[Models], ModelRelease]
    refused_by: frozenset[str]
    image: str | None = None


@dataclass(frozen=True)
class NeverReady:
    """A release whose pods never become ready: no question is asked, a deadline ends it."""

    model: Callable[[Models], ModelRelease]
    image: str | None = None
    require_gpu: bool | None = None


# Shifted predictions, the fourth, are refused in test_after_abort.py.
JUDGED = {
    "errors": Bad(
        lambda models: models["errors"],
        frozenset(
            {"error-sprt", "error-cusum", "error-window", "errors-against-stable", "slo-burn"}
        ),
    ),
    "slow answers": Bad(
        lambda models: models["good"],
        frozenset(
            {
                *("latency-500ms-sprt", "latency-500ms-window", "latency-1s-sprt"),
                *("latency-1s-window", "latency-against-stable", "load"),
            }
        ),
        image=SLOW,
    ),
    "NaN outputs": Bad(lambda models: models["nan"], frozenset({"model-sanity"})),
}
NEVER_READY = {
    "wrong sha256": NeverReady(lambda models: models.wrong_sha256()),
    "crash loop": NeverReady(lambda models: models["good"], image=CRASHES),
    "CPU where a GPU was required": NeverReady(lambda models: models["good"], require_gpu=True),
}


@pytest.mark.limit(300)
@pytest.mark.parametrize("name", JUDGED)
def test_a_release_that_the_gate_refuses_is_aborted(
    name: str, staging: Environment, models: Models, evidence: Evidence
) -> None:
    bad = JUDGED[name]
    model = bad.model(models)
    canary = str(model.version)
    with staging.traffic() as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.release(model, image=bad.image)
        staging.wait_aborted()
        decided = wait_verdict(staging, since)
        evidence.mark(f"verdict: {decided.value}", decided.at)
        time.sleep(AFTER_SECONDS)
        took = assert_back_in_time(staging, traffic, decided.at, canary)
    refused = staging.timeline.metrics("Failed", since) | staging.timeline.metrics("Error", since)
    evidence.note("refused by", ", ".join(sorted(refused)))
    evidence.note("traffic back after the verdict", f"{took:.1f} s")
    evidence.note("answered by the canary", traffic.by_version()[canary])
    assert decided.value == "Failed"
    assert refused & bad.refused_by, f"refused by {sorted(refused)}, not for what is wrong with it"
    assert_nothing_lost(traffic, but_of=canary)
    assert staging.timeline.now("rollout.stable") != staging.timeline.now("rollout.current")


@pytest.mark.limit(300)
@pytest.mark.parametrize("name", NEVER_READY)
def test_a_release_that_never_becomes_ready_is_aborted_before_it_has_a_user(
    name: str, staging: Environment, models: Models, evidence: Evidence
) -> None:
    bad = NEVER_READY[name]
    model = bad.model(models)
    with staging.traffic(QUIET_RATE) as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.release(model, image=bad.image, require_gpu=bad.require_gpu)
        aborted = staging.wait_aborted()
        evidence.mark("aborted", aborted)
        time.sleep(AFTER_SECONDS)
    evidence.note("aborted after the commit", f"{aborted - since:.0f} s")
    assert "has timed out progressing" in staging.timeline.now("rollout.message")
    assert traffic.by_version().keys() == {"1"}
    assert {c.value for c in staging.timeline.history("route.canary", since)} <= {0}
    assert_nothing_lost(traffic)
