"""Simulated releases in a real Prometheus: every look has the value that was computed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from canary_gate.simulation import GOOD, Onset, Outage, Rates, Scenario
from canary_gate.simulation.agreement import compared
from canary_gate.simulation.default_ladder import ladder_steps
from canary_gate.simulation.server import ServerError, prometheus

ROOT = Path(__file__).resolve().parents[2]
ROLLOUTS = ROOT / "rollouts"


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with prometheus(ROOT / ".tools" / "bin" / "prometheus") as address:
        yield address


@pytest.mark.parametrize(
    ("scenario", "verdict"),
    [
        (Scenario("good", 10, cold_slow=0.3, lost_scrapes=0.2), "pass"),
        (Scenario("bad", 10, Rates(errors=0.02), lost_scrapes=0.2), "fail"),
        (Scenario("late", 50, Rates(errors=0.05), onset=Onset(50, 120.0)), "fail"),
        (Scenario("slow", 10, Rates(slow_500ms=0.2, slow_1s=0.1)), "fail"),
        (Scenario("outage", 10, outage=Outage(0.05, 600.0)), "undecided"),
        (Scenario("bursts", 5, correlation=0.5, arguments={"minimum-requests": "300"}), None),
        (Scenario("away", 10, Rates(errors=0.05), away=(20.0, 100.0)), "fail"),
        (Scenario("missing", 10, GOOD, counted="missing"), "undecided"),
        (Scenario("nan", 10, GOOD, counted="nan"), "undecided"),
        (Scenario("idle", 10, GOOD, canary_traffic=False), "fail"),
    ],
    ids=lambda value: getattr(value, "name", value),
)
def test_prometheus_says_what_the_simulation_computes(
    address: str, scenario: Scenario, verdict: str | None
) -> None:
    steps = ladder_steps(ROLLOUTS, scenario.arguments)
    found = list(compared(address, scenario, steps, releases=1, seed=5))
    assert [difference for step in found for difference in step.differences] == []
    assert found[0].looks >= 3
    assert verdict in (None, found[-1].verdict)


def test_a_server_that_cannot_start_is_told_apart_from_one_that_disagrees(tmp_path: Path) -> None:
    with (
        pytest.raises(ServerError, match="No such file"),
        prometheus(tmp_path / "prometheus"),
    ):
        raise AssertionError
    with (
        pytest.raises(ServerError, match="did not start"),
        prometheus(Path("/bin/false")),
    ):
        raise AssertionError
