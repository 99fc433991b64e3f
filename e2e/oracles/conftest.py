"""One API server for all oracles: that of KUBECONFIG, else the local cluster's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.oracles.api_server import ApiServer, NoClusterError, connect
from e2e.oracles.figures import Figures
from e2e.oracles.kubeconfig import find_kubeconfig

REPORT = Path(__file__).resolve().parents[2] / "build" / "e2e" / "oracles.json"
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
        with connect(find_kubeconfig("crds")) as server:
            yield server
    except NoClusterError as error:
        pytest.exit(f"oracles: {error}", returncode=2)
