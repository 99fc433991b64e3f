"""MLflow, with the models that the overlays name."""

from __future__ import annotations

import shutil
from pathlib import Path

import httpx

from local_cluster.cluster import PORTS, Cluster
from local_cluster.models import trained
from local_cluster.part import Command, Part


def _folder(cluster: Cluster) -> Path:
    return cluster.folder / "mlflow"


def _train(cluster: Cluster) -> None:
    trained(cluster.root)


def _prepare(cluster: Cluster) -> None:
    """A copy of its own: what a cluster registers stays in the cluster."""
    if not _folder(cluster).exists():
        shutil.copytree(trained(cluster.root), _folder(cluster))


def _command(cluster: Cluster) -> Command:
    folder = _folder(cluster)
    return Command(
        [
            *(str(cluster.python), "-m", "mlflow", "server"),
            *("--host", cluster.host, "--port", str(PORTS["mlflow"]), "--workers", "1"),
            # It refuses other Host headers, 127.0.0.1 aside; pods call it by its Service's name.
            *("--allowed-hosts", f"{cluster.address('mlflow')},mlflow.ml-system.svc:*"),
            *("--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"),
            *("--artifacts-destination", str(folder / "artifacts")),
        ],
        {
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            # Their runner starts seven more programs that a registry never asks.
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        },
    )


def _ready(cluster: Cluster) -> str | None:
    answer = httpx.get(f"{cluster.url('mlflow')}/health", timeout=5)
    return None if answer.is_success else f"it answers {answer.status_code}"


MODELS = Part("models", None, prepare=_train)
PART = Part(
    "mlflow",
    _command,
    _ready,
    needs=(MODELS.name,),
    prepare=_prepare,
    ready_seconds=120,
    listens=("mlflow",),
)
PARTS = (MODELS, PART)
