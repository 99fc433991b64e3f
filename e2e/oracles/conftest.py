"""One API server for all oracles: that of KUBECONFIG, else the local cluster's."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_cluster.cluster import Cluster

from e2e.oracles.api_server import ApiServer, NoClusterError, connect
from e2e.oracles.figures import Figures

ROOT = Path(__file__).resolve().parents[2]
REPORT = ROOT / "build" / "e2e" / "oracles.json"
START_SECONDS = 180
FIGURES = pytest.StashKey[Figures]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[FIGURES] = Figures()


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    figures = config.stash[FIGURES]
    if figures.counted:
        terminalreporter.section("oracles")
        for line in figures.lines():
            terminalreporter.write_line(line)
        figures.write(REPORT)


@pytest.fixture(scope="session")
def figures(pytestconfig: pytest.Config) -> Figures:
    return pytestconfig.stash[FIGURES]


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    try:
        with connect(_kubeconfig()) as server:
            yield server
    except NoClusterError as error:
        pytest.exit(f"oracles: {error}", returncode=2)


def _kubeconfig() -> Path:
    named = os.environ.get("KUBECONFIG", "")
    if named:
        return Path(named.split(os.pathsep)[0])
    cluster = Cluster.from_environment()
    command = [sys.executable, "-m", "local_cluster.cli", "up", "--only", "crds"]
    started = subprocess.run(
        command, capture_output=True, text=True, timeout=START_SECONDS, check=False, cwd=ROOT
    )
    if started.returncode:
        raise NoClusterError(f"the local cluster does not start:\n{started.stderr[-2000:]}")
    return cluster.kubeconfig
