"""The peers: how each is started, asked and read, in which variants, with settings from where."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from service.bench import bodies
from service.bench.load import Request
from service.bench.models import INPUT, OUTPUT
from service.bench.places import BUILD, MLP, SCRIPTS, BenchError, python
from service.bench.process import Running, free_port, running


@dataclass(frozen=True)
class Variant:
    """One way to start a peer: server processes, rows per batch (0: no batching)."""

    workers: int = 1
    batch: int = 0

    @property
    def workers_name(self) -> str:
        """Say how many processes serve."""
        return f"{self.workers} worker{'s' if self.workers > 1 else ''}"

    @property
    def name(self) -> str:
        """Say what it is, in words."""
        batching = f"batches of {self.batch}" if self.batch else "no batching"
        return f"{self.workers_name}, {batching}"


@dataclass(frozen=True)
class Peer:
    """A server that people use; its script stands in `peers/`, its packages in `.venvs/`."""

    name: str
    title: str
    package: str
    script: str
    path: str
    ready: str
    write: Callable[[np.ndarray], bytes]
    read: Callable[[bytes], np.ndarray]
    variants: tuple[Variant, ...]  # a quick look takes the first and the last
    python: bool = True  # a Python process reads the requests

    def request(self, row: np.ndarray) -> Request:
        """Ask for one row."""
        return Request(self.path, self.write(row))

    @contextmanager
    def serve(self, variant: Variant) -> Iterator[Running]:
        """Run it in a variant; raises BenchError if it is not installed or does not start."""
        if not (python(self.name).parents[1] / ".ready").exists():
            raise BenchError(f"not installed: {_why(self.name)}")
        port, folder = free_port(), BUILD / "peers" / self.name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        options: list[str | Path] = ["--model", MLP, "--port", str(port), "--folder", folder]
        options += ["--workers", str(variant.workers), "--batch", str(variant.batch)]
        with running(
            [python(self.name), SCRIPTS / self.script, *options], port, self.ready, folder
        ) as server:
            yield server


def _why(name: str) -> str:
    """Return the end of what pip said."""
    log = BUILD / f"install-{name}.log"
    return log.read_text()[-400:] if log.exists() else "run make bench-service"


def _v2_mlp(row: np.ndarray) -> bytes:
    return bodies.v2_json(INPUT, row)


SINGLE, PAIR = Variant(), Variant(workers=2)
BATCHES = Variant(batch=64), Variant(workers=2, batch=64)
PEERS = (
    Peer("triton", "Triton", "nvidia-pytriton", "triton_repository.py",
         "/v2/models/mlp/infer", "/v2/models/mlp/ready", _v2_mlp, bodies.read_v2,
         (SINGLE, PAIR, *BATCHES), python=False),
    Peer("mlserver", "MLServer", "mlserver", "mlserver_runtime.py",
         "/v2/models/mlp/infer", "/v2/models/mlp/ready", _v2_mlp, bodies.read_v2,
         (SINGLE, PAIR, Variant(batch=64))),
    Peer("kserve", "KServe", "kserve", "kserve_model.py",
         "/v1/models/mlp:predict", "/v2/health/ready", bodies.v1_json,
         bodies.read_key("predictions"), (SINGLE, PAIR)),
    Peer("litserve", "LitServe", "litserve", "litserve_api.py",
         "/predict", "/health", bodies.rows_json, bodies.read_key("outputs"),
         (SINGLE, PAIR, Variant(batch=64))),
    Peer("bentoml", "BentoML", "bentoml", "bentoml_service.py",
         "/predict", "/readyz", bodies.rows_json, bodies.read_list,
         (SINGLE, PAIR, Variant(batch=64))),
    Peer("ray", "Ray Serve", "ray", "ray_deployment.py",
         "/", "/-/healthz", bodies.rows_json, bodies.read_key("outputs"),
         (SINGLE, PAIR, Variant(batch=64))),
    Peer("mlflow", "MLflow", "mlflow", "mlflow_model.py",
         "/invocations", "/ping", bodies.rows_json, bodies.read_key("predictions", OUTPUT),
         (SINGLE, PAIR)),
    Peer("fastapi", "naive FastAPI", "fastapi", "fastapi_app.py",
         "/predict", "/health", bodies.rows_json, bodies.read_key("outputs"),
         (SINGLE, PAIR)),
)  # fmt: skip
