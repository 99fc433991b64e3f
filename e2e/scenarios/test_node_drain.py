"""Draining nodes waits for the PodDisruptionBudget, and no user notices."""

from __future__ import annotations

import time

import pytest

from e2e.scenarios.environment import Environment
from e2e.scenarios.evidence.recording import Evidence
from e2e.scenarios.expectations import assert_nothing_lost
from e2e.scenarios.nodes import drained, pods_by_node

pytestmark = pytest.mark.alone

WAITED = "violate the pod's disruption budget"
BACK_SECONDS = 60
# Nobody measures a share here, and servers that start need the processors.
RATE = 60


@pytest.mark.limit(300)
def test_two_drains_wait_for_the_budget_and_lose_no_request(
    staging: Environment, evidence: Evidence
) -> None:
    subject = f"pods/{staging.timeline.now('rollout.stable')}"
    replicas = staging.timeline.now("rollout.replicas")
    staging.wait("every server", lambda seen: seen.now(subject) == replicas, BACK_SECONDS)
    # The budget lets one server go at a time, so one of the two drains has to wait.
    nodes = [node for node, _ in pods_by_node(staging).most_common(2)]
    assert len(nodes) == 2, f"the servers are all on {nodes}"
    with staging.traffic(RATE) as traffic:
        time.sleep(2)
        since = time.time()
        evidence.mark(f"drain of {' and '.join(nodes)}")
        with drained(staging.control, nodes) as said:
            evidence.mark("drained")
            left = pods_by_node(staging)
            staging.wait(
                "as many servers as before",
                lambda seen: seen.now(subject) == replicas,
                BACK_SECONDS,
            )
        time.sleep(1)
    fewest = min(change.value for change in staging.timeline.history(subject, since))
    waited = [line for line in said.splitlines() if WAITED in line and staging.namespace in line]
    evidence.note("evictions that had to wait", len(waited))
    evidence.note("fewest ready servers", f"{fewest} of {replicas}")
    evidence.note("requests", len(traffic.answers()))
    assert not set(left) & set(nodes)
    assert waited, f"no eviction waited for the budget: {said}"
    assert fewest == replicas - 1
    assert_nothing_lost(traffic)
