"""How Envoy is started: beside Envoy Gateway, by the arguments that it hands over."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import pytest
from local_cluster.cluster import Cluster
from local_cluster.parts import envoy_gateway


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cluster:
    certificates = tmp_path / "parts/envoy-gateway/config/certs/envoy"
    certificates.mkdir(parents=True)
    (certificates / "tls.key").touch()  # So that none are made.
    found = Cluster(tmp_path, tmp_path, "127.45")
    envoy_gateway.ENVOY_GATEWAY.prepare(found)
    return found


def stand_in(cluster: Cluster) -> Path:
    [found] = cluster.folder.rglob("envoy-versions/*/bin/envoy")
    return found


def wait_for(path: Path) -> None:
    limit = time.monotonic() + 5
    while not path.exists() and time.monotonic() < limit:
        time.sleep(0.02)
    assert path.exists()


def test_the_stand_in_hands_its_arguments_over_and_envoy_gets_them(cluster: Cluster) -> None:
    given = ["--config-yaml", "a: 1\nb: 'x y'\n", "--admin-address-path", "/gone"]
    process = subprocess.Popen([stand_in(cluster), *given, "--", "--run-id", "7"])
    try:
        wait_for(stand_in(cluster).with_name("envoy.arguments"))
        assert envoy_gateway.ENVOY_GATEWAY.ready(cluster) is None
        command = envoy_gateway.ENVOY.command
        assert command
        own = ["--disable-hot-restart"]
        assert command(cluster).argv[-3:] == ["--config-yaml", "a: 1\nb: 'x y'\n", *own]
        assert process.poll() is None, "Envoy Gateway takes the end of its Envoy for a failure"
    finally:
        process.kill()
        process.wait()


def test_until_then_envoy_gateway_is_not_ready(cluster: Cluster) -> None:
    assert envoy_gateway.ENVOY_GATEWAY.ready(cluster) == "it has started no Envoy yet"


def test_the_keeper_passes_the_signal_on_and_waits(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    program = f"trap 'sleep 0.2; touch {ended}; exit 0' TERM; touch {tmp_path}/up; sleep 30 & wait"
    argv = ["/bin/sh", "-c", envoy_gateway.KEEPER, "envoy", "/bin/sh", "-c", program]
    process = subprocess.Popen(argv, start_new_session=True)
    try:
        wait_for(tmp_path / "up")
        process.terminate()
        process.wait(timeout=5)
        assert ended.exists()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
