"""Simulated releases in a real Prometheus: every look has the value that was computed."""

import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from canary_gate.simulation import GOOD, Onset, Outage, Rates, Scenario
from canary_gate.simulation.agreement import compared
from canary_gate.simulation.default_ladder import ladder_steps

ROOT = Path(__file__).resolve().parents[2]
ROLLOUTS = ROOT / "rollouts"
CONFIGURATION = "storage: {tsdb: {out_of_order_time_window: 4h}}"


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("prometheus")
    (folder / "prometheus.yml").write_text(CONFIGURATION)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [
                ROOT / ".tools" / "bin" / "prometheus",
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                f"--web.listen-address={address}",
                "--web.enable-remote-write-receiver",
            ],
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + 30
        while not ready(address):
            assert time.monotonic() < deadline, (folder / "log").read_text()
            assert server.poll() is None, (folder / "log").read_text()
            time.sleep(0.05)
        yield f"http://{address}"
    finally:
        server.terminate()
        server.wait(30)


def ready(address: str) -> bool:
    try:
        return httpx.get(f"http://{address}/-/ready", timeout=1).is_success
    except httpx.HTTPError:
        return False


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
    prometheus: str, scenario: Scenario, verdict: str | None
) -> None:
    steps = ladder_steps(ROLLOUTS, scenario.arguments)
    found = list(compared(prometheus, scenario, steps, releases=1, seed=5))
    assert [difference for step in found for difference in step.differences] == []
    assert found[0].looks >= 3
    assert verdict in (None, found[-1].verdict)
