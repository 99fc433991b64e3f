"""A zone is lost: the other zones go on serving, and the servers come up there."""

from __future__ import annotations

import time

import pytest

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.nodes import lost, pods_by_zone, zones
from e2e.scenarios.traffic import Traffic

pytestmark = pytest.mark.alone

# Until the gateway knows; a machine without power says no good-bye.
UNSEEN_SECONDS = 3
# The controller manager waits 40 to 60 s before it gives the pods of a deleted node up.
ELSEWHERE_SECONDS = 150
# Nobody measures a share here, and servers that start need the processors.
RATE = 60


def assert_spread(environment: Environment, over: set[str]) -> None:
    """Every zone has its servers, one more or less than any other."""
    found = pods_by_zone(environment)
    assert set(found) == over
    assert max(found.values()) - min(found.values()) <= 1, f"uneven: {dict(found)}"


def unserved_seconds(traffic: Traffic, since: float, until: float) -> list[int]:
    """Seconds in which requests were sent and nobody was served."""
    answers = traffic.answers(since, until)
    sent = {int(answer.at - since) for answer in answers}
    served = {int(answer.at - since) for answer in answers if answer.status == 200}
    return sorted(sent - served)


@pytest.mark.limit(360)
def test_a_lost_zone_is_made_up_for_in_the_others(
    production: Environment, evidence: Evidence
) -> None:
    subject = f"pods/{production.timeline.now('rollout.stable')}"
    replicas = production.timeline.now("rollout.replicas")
    where = zones(production.control)
    assert_spread(production, set(where.values()))
    evidence.note("before", dict(pods_by_zone(production)))
    gone, _ = pods_by_zone(production).most_common(1)[0]
    nodes = [node for node, zone in where.items() if zone == gone]
    with production.traffic(RATE) as traffic:
        time.sleep(2)
        since = time.time()
        evidence.mark(f"{gone} lost")
        with lost(production.control, nodes):
            production.wait(
                "fewer servers", lambda seen: seen.now(subject) < replicas, ELSEWHERE_SECONDS
            )
            production.wait(
                "as many servers as before",
                lambda seen: seen.now(subject) == replicas,
                ELSEWHERE_SECONDS,
            )
            evidence.mark("as many as before")
            until = time.time()
            assert_spread(production, set(where.values()) - {gone})
            evidence.note("after", dict(pods_by_zone(production)))
    unseen = traffic.lost(since, since + UNSEEN_SECONDS)
    evidence.note("as many servers as before after", f"{until - since:.0f} s")
    evidence.note(f"lost in the first {UNSEEN_SECONDS} s", len(unseen))
    assert not unserved_seconds(traffic, since, until)
    later = traffic.lost(since + UNSEEN_SECONDS)
    assert not later, f"{len(later)} requests were lost after the gateway had to know"
    assert not traffic.refused()
