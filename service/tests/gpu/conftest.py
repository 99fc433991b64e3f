"""A server with ONNX Runtime for GPUs, from its own environment, and a model worth one."""

import os
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from ..conftest import PATIENCE, Server, wait_until
from .hardware import PYTHON
from .models import convolutional

SOURCE = Path(__file__).parents[2] / "src"
MAIN = "import sys; from inference_server.cli import main; sys.exit(main())"
LOAD_SECONDS = 300  # CUDA's first session, and each bucket's warm-up

StartGpu = Callable[..., Server]


@pytest.fixture(scope="session")
def start_gpu(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartGpu]:
    """Starts servers by the Python of `.venvs/gpu`, which must use the GPU."""
    running: list[Server] = []

    def start(
        repository: Path, until: str = "/v2/health/ready", python: Path = PYTHON, **more: str
    ) -> Server:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        log_file = tmp_path_factory.mktemp("gpu") / "log.jsonl"
        environment = {
            "PYTHONPATH": str(SOURCE),
            "MODEL_REPOSITORY": str(repository),
            "PORT": str(port),
            "DRAIN_SECONDS": "0",
            "REQUIRE_GPU": "true",
        }
        with log_file.open("w") as log:
            process = subprocess.Popen(
                [str(python), "-c", MAIN],
                stdout=log,
                stderr=log,
                text=True,
                env=os.environ | environment | more,
            )
        client = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE)
        server = Server(process, client, log_file)
        running.append(server)
        answered = lambda: process.poll() is not None or server.status(until) == 200  # noqa: E731
        wait_until(answered, LOAD_SECONDS)
        assert process.poll() is None, log_file.read_text()
        return server

    yield start
    for server in running:
        server.client.close()
        server.stop()


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One network four times: batched, one by one, with bound memory, and with two buckets."""
    repository = tmp_path_factory.mktemp("images")
    configs = {
        "batched": "",
        "single": "max_batch_size: 1\n",
        "bound": "gpu: {io_binding: true}\n",
        "buckets": "batch_buckets: [4, 16]\n",
    }
    for name, config in configs.items():
        convolutional(repository / name / "1" / "model.onnx")
        (repository / name / "config.yaml").write_text(config)
    return repository


@pytest.fixture(scope="session")
def gpu_server(images: Path, start_gpu: StartGpu) -> Server:
    """A server of these models that must use the GPU."""
    return start_gpu(images)
