"""What is scraped in place of kube-state-metrics is what became of the play's processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from release_play.pod_statuses import PodStatuses, pod_status_metrics
from release_play.pods import Pod
from release_play.processes import Process
from release_play.prometheus import Target


def pod(status: int | None, tmp_path: Path) -> Pod:
    """A pod whose process has ended with a status, or runs until its input is closed."""
    code = "input()" if status is None else f"raise SystemExit({status})"
    popen = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE)
    if status is not None:
        popen.communicate()
    target = Target("127.0.0.1:1", "ns", "inference-abc-0", "inference-server", "abc")
    return Pod("inference-abc-0", "abc", "", target, Process("p", popen, tmp_path / "log"))


def test_a_pod_that_runs_has_no_restart_and_no_reason(tmp_path: Path) -> None:
    running = pod(None, tmp_path)
    try:
        text = pod_status_metrics([running])
    finally:
        running.process.popen.communicate()
    assert text.splitlines() == [
        "# TYPE kube_pod_container_status_restarts_total counter",
        'kube_pod_container_status_restarts_total{namespace="ns",pod="inference-abc-0",'
        f'uid="{running.process.popen.pid}",container="inference-server"}} 0',
        "# TYPE kube_pod_container_status_terminated_reason gauge",
    ]


@pytest.mark.parametrize(("status", "reason"), [(0, "Completed"), (1, "Error")])
def test_a_pod_that_has_ended_says_how(tmp_path: Path, status: int, reason: str) -> None:
    last = pod_status_metrics([pod(status, tmp_path)]).splitlines()[-1]
    assert last.startswith("kube_pod_container_status_terminated_reason{")
    assert last.endswith(f',container="inference-server",reason="{reason}"}} 1')


def test_it_is_served_as_prometheus_scrapes_it(tmp_path: Path) -> None:
    with PodStatuses() as statuses:
        statuses.pods = [pod(0, tmp_path)]
        response = httpx.get(f"http://{statuses.address}/metrics", timeout=10)
    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert response.text == pod_status_metrics(statuses.pods)
