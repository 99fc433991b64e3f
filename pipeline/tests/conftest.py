"""One fitted model, one embedded registry and one real MLflow server for all tests."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from model_pipeline import dataset, onnx_model, training

START_LIMIT_SECONDS = 120


@pytest.fixture(scope="session")
def rows() -> dataset.Dataset:
    return dataset.load()


@pytest.fixture(scope="session")
def fitted(rows: dataset.Dataset) -> training.Fitted:
    return training.fit(rows, seed=0)


@pytest.fixture(scope="session")
def model(fitted: training.Fitted, rows: dataset.Dataset) -> bytes:
    return onnx_model.export(fitted.estimator, "breast-cancer", rows.feature_names)


@pytest.fixture(scope="session")
def embedded(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/new/mlflow.db"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    uncovered = {key: value for key, value in os.environ.items() if "COVERAGE" not in key}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "server", "--workers", "1"),
                *("--host", "127.0.0.1", "--port", str(port)),
                *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
                *("--artifacts-destination", str(folder / "artifacts")),
            ],
            cwd=folder,
            env={
                **uncovered,
                "MLFLOW_DISABLE_TELEMETRY": "true",
                "DO_NOT_TRACK": "true",
                "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            },
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        _wait_until_healthy(process, address, folder / "log")
        yield address
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=20)


def _wait_until_healthy(process: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + START_LIMIT_SECONDS
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(f"{address}/health", timeout=2) as answer:
                assert answer.status == 200
                return
        except OSError:
            time.sleep(0.1)
    raise AssertionError(f"MLflow did not start: {log.read_text()}")


@pytest.fixture(params=["embedded", "server"])
def tracking_uri(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(request.param))
