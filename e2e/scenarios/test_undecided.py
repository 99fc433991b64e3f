"""A gate that does not know: the release stays where it is, and is never promoted."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import assert_nothing_lost
from e2e.scenarios.models import Models
from e2e.scenarios.parts import Parts

STAYS_SECONDS = 8
DOWN_SECONDS = 30


def assert_stays(environment: Environment, weight: int) -> None:
    """Paused at its weight: nothing goes on by itself."""
    time.sleep(STAYS_SECONDS)
    assert environment.timeline.now("rollout.phase") == "Paused"
    assert environment.timeline.now(environment.weight_subject) == weight
    assert environment.timeline.now("rollout.aborted") is False


@pytest.mark.limit(240)
def test_without_traffic_the_release_pauses(
    production: Environment, models: Models, evidence: Evidence
) -> None:
    since = time.time()
    revision = production.release(models["good"])
    evidence.mark("commit")
    production.sync(revision)
    evidence.mark("undecided", production.wait_paused())
    undecided = production.timeline.metrics("Inconclusive", since)
    evidence.note("undecided", ", ".join(sorted(undecided)))
    assert "minimum-traffic" in undecided
    assert not production.timeline.metrics("Failed", since)
    assert_stays(production, 10)


@pytest.mark.limit(240)
def test_a_measurement_of_nan_pauses_the_release(
    staging: Environment, models: Models, evidence: Evidence
) -> None:
    def ask_for_nan(repository: Path) -> None:
        """A floor of NaN: the query of prediction-psi then answers NaN, and nothing else does."""
        path = repository / "rollouts/templates/prediction-psi/template.yaml"
        text = path.read_text(encoding="utf-8")
        floor = '    - name: psi-floor\n      value: "0.0001"\n'
        assert floor in text
        path.write_text(text.replace(floor, floor.replace("0.0001", "NaN")), encoding="utf-8")

    staging.branch.commit("Ask a question whose answer is NaN", ask_for_nan)
    with staging.traffic() as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.release(models["good"])
        evidence.mark("undecided", staging.wait_paused())
        # A job that is under way when its run ends counts as undecided too.
        assert staging.timeline.metrics("Inconclusive", since) - {"load"} == {"prediction-psi"}
        assert staging.measured("prediction-psi") == ["[NaN]"]
        assert_stays(staging, 10)
    assert_nothing_lost(traffic)


@pytest.mark.alone
@pytest.mark.local
@pytest.mark.limit(360)
def test_while_prometheus_is_down_the_release_waits_where_it_is(
    staging: Environment, parts: Parts, models: Models, evidence: Evidence
) -> None:
    with staging.traffic() as traffic:
        since = time.time()
        evidence.mark("commit")
        staging.release(models["good"])
        staging.wait_weight(10)
        with parts.without("prometheus"):
            down = time.time()
            evidence.mark("Prometheus is down", down)
            time.sleep(DOWN_SECONDS)
            assert staging.timeline.now(staging.weight_subject) == 10
            assert staging.timeline.now("rollout.aborted") is False
            assert not staging.timeline.metrics("Failed", since)
        evidence.mark("Prometheus is back")
        back = time.time()
        staging.wait(
            "the release to go on, or to pause",
            lambda seen: seen.now("rollout.phase") == "Paused" or seen.now("route.canary") > 10,
            within=150,
        )
    evidence.note("after Prometheus was back", staging.timeline.now("rollout.phase"))
    went_on = [c for c in staging.timeline.history("route.canary", since) if c.value > 10]
    assert all(change.at > back for change in went_on), "it went on while nothing was measured"
    assert_nothing_lost(traffic)
