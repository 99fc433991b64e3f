"""A real MLflow server, and the three model versions that a play releases."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from model_pipeline import ModelRelease, TrainingConfig, register_model, train
from model_pipeline import dataset as example

from release_play.faulty_model import break_model
from release_play.processes import Process, ProcessGroup, free_port, wait_until_ready

READY_SECONDS = 90.0
FAULTY_SHARE = 0.05
SEEDS = {"stable": 0, "good": 1}


class Registry:
    """The MLflow server at `address`; the other methods register one more version each."""

    def __init__(self, folder: Path, address: str, process: Process):
        self._folder, self.address, self._process = folder, address, process

    def wait(self) -> None:
        """Return once the server answers; ProcessError when it does not."""
        wait_until_ready(self._process, f"{self.address}/health", READY_SECONDS)

    def train(self, name: str) -> tuple[ModelRelease, bytes, float]:
        """Train with the seed of `name`; the release, its ONNX bytes, its test accuracy."""
        result = train(TrainingConfig(tracking_uri=self.address, seed=SEEDS[name]))
        return result.release, result.model, result.metrics.accuracy

    def register_faulty(self, model: bytes) -> ModelRelease:
        """Register `model` broken so that about 5 % of the real rows fail when it runs."""
        rows = example.load().features.astype(np.float32)
        path = self._folder / "faulty.onnx"
        path.write_bytes(break_model(model, share=FAULTY_SHARE, rows=rows))
        return register_model(path, tracking_uri=self.address)


def start_registry(group: ProcessGroup, folder: Path) -> Registry:
    """Start MLflow on SQLite and a local artifact folder; `wait` tells when it answers."""
    folder.mkdir(parents=True)
    port = free_port()
    process = group.start(
        "mlflow",
        [
            *(sys.executable, "-m", "mlflow", "server"),
            *("--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        # Without jobs: their runner starts seven more programs that a registry never asks.
        {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
    )
    return Registry(folder, f"http://127.0.0.1:{port}", process)
