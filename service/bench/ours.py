"""Our server as the bench runs it: everything on that the issue names, and each thing off."""

from __future__ import annotations

import hashlib
import shutil
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from inference_server.settings import Settings

from service.bench import bodies
from service.bench.load import Request
from service.bench.models import INPUT
from service.bench.places import BUILD, MLP
from service.bench.process import Running, free_port, running

KEY = "a key of the bench, 32 letters or more"
DEADLINE_MS = "10000"
LACKING = Path(__file__).with_name("lacking")
COMMAND = Path(sys.executable).with_name("inference-server")


@dataclass(frozen=True)
class Setup:
    """How our server is started and asked: settings, header fields, `config.yaml` of a model."""

    name: str = "everything on"
    settings: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    config: str = ""
    environment: Mapping[str, str] = field(default_factory=dict)

    def lacking(self, feature: str) -> Setup:
        """Take out a feature that has no switch."""
        changed = {"BENCH_LACKS": feature, "PYTHONPATH": str(LACKING)}
        return replace(self, name=f"without {feature}", environment=changed)

    def without(self, *headers: str) -> Setup:
        """Leave header fields out."""
        return replace(self, headers={k: v for k, v in self.headers.items() if k not in headers})

    def having(self, name: str, config: str = "", **settings: str | None) -> Setup:
        """Change settings, None for the default, and the model's configuration."""
        changed = {k: v for k, v in {**self.settings, **settings}.items() if v is not None}
        return replace(self, name=name, settings=changed, config=config or self.config)

    @property
    def missing(self) -> list[str]:
        """Settings that this server does not know, and would pass over in silence."""
        return [name for name in self.settings if name not in Settings.model_fields]


def everything(workers: int = 1) -> Setup:
    """API key, request id, deadline, metrics, and every hundredth request in the JSON log."""
    settings = {
        "workers": str(workers),
        "api_key_hashes_file": str(_key_file()),
        "log_sample_rate": "0.01",
        "drain_seconds": "0",
    }
    headers = {
        "X-API-Key": KEY,
        "X-Request-ID": "bench-0123456789abcdef",
        "X-Request-Timeout-Ms": DEADLINE_MS,
    }
    return Setup(settings=settings, headers=headers)


def features() -> dict[str, Setup]:
    """One setup for each feature, in which only that one is off, or on if it is off by default."""
    on = everything()
    no_keys = on.having("no API key", api_key_hashes_file=None).without("X-API-Key")
    no_deadline = on.without("X-Request-Timeout-Ms")
    traced = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}
    untraced = on.having("traces, none sampled", trace_sample_rate="0")
    return {
        "API key": no_keys,
        "metrics": on.lacking("metrics"),
        "request id": on.lacking("request id"),
        "deadline of the client": replace(no_deadline, name="only the default deadline"),
        "log of 1 %": on.having("no log", log_sample_rate="0"),
        "log of 100 %": on.having("every request logged", log_sample_rate="1"),
        "rate limit": on.having("limited to a billion a minute", rate_limit="1000000000"),
        "traces, none sampled": replace(untraced, environment=traced),
        "response cache, always hit": on.having("response cache", config="cache: 1048576\n"),
        "dynamic batching": on.having("no batching", config="max_batch_size: 1\n"),
    }


# A setup of `features` in which the feature is on, while it is off in `everything`.
ADDED = ("log of 100 %", "rate limit", "traces, none sampled", "response cache, always hit")


def _key_file() -> Path:
    path = BUILD / "keys"
    path.parent.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    path.write_text(f"bench:{digest}:scopes=infer,admin\n")
    path.chmod(0o600)
    return path


@contextmanager
def serve(setup: Setup, model: Path = MLP, cores: Collection[int] = ()) -> Iterator[Running]:
    """Run our server with one model, on some cores; raises BenchError if it does not start."""
    port, folder = free_port(), BUILD / "ours"
    shutil.rmtree(folder, ignore_errors=True)
    name, version = model.parts[-3:-1]
    copy = folder / "models" / name / version
    copy.mkdir(parents=True)
    shutil.copy(model, copy)
    if setup.config:
        (copy.parent / "config.yaml").write_text(setup.config)
    options = [f"--{name.replace('_', '-')}={value}" for name, value in setup.settings.items()]
    command: list[str | Path] = [
        COMMAND,
        "--model-repository",
        folder / "models",
        "--port",
        str(port),
        *options,
    ]
    with running(command, port, "/v2/health/ready", folder, setup.environment, cores) as server:
        yield server


def repository() -> Path:
    """Return the model repository of the server that runs."""
    return BUILD / "ours" / "models"


def mlp_json(setup: Setup, row: np.ndarray) -> Request:
    """Ask the perceptron for rows, by v2 JSON."""
    return Request("/v2/models/mlp/infer", bodies.v2_json(INPUT, row), setup.headers)


def binary(setup: Setup, model: str, name: str, tensor: np.ndarray) -> Request:
    """Ask a model by the binary tensor extension."""
    body, headers = bodies.v2_binary(name, tensor)
    return Request(f"/v2/models/{model}/infer", body, {**setup.headers, **headers})


def as_json(setup: Setup, model: str, name: str, tensor: np.ndarray) -> Request:
    """Ask a model by v2 JSON."""
    return Request(f"/v2/models/{model}/infer", bodies.v2_json(name, tensor), setup.headers)
