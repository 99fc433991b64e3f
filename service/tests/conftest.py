"""Models, repositories and real server processes for the tests."""

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from .onnx_models import classifier

COMMAND = str(Path(sys.executable).with_name("inference-server"))
PATIENCE = 30


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_until(condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if condition():
            return
        time.sleep(0.02)
    raise AssertionError(f"not true within {seconds} s")


@dataclass
class Server:
    """A running `inference-server`, and what it wrote."""

    process: subprocess.Popen[str]
    client: httpx.Client
    log_file: Path

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.client.get(path, **more)

    def post(self, path: str, content: Any, **more: Any) -> httpx.Response:
        if isinstance(content, (bytes, str)):
            headers = {"Content-Type": "application/json", **more.pop("headers", {})}
            return self.client.post(path, content=content, headers=headers, **more)
        return self.client.post(path, json=content, **more)

    def status(self, path: str) -> int | None:
        try:
            return self.get(path).status_code
        except httpx.TransportError:
            return None

    def metric(self, sample: str) -> float | None:
        for line in self.get("/metrics").text.splitlines():
            name, _, value = line.rpartition(" ")
            if name == sample:
                return float(value)
        return None

    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_file.read_text().splitlines()]

    def wait_for_reason(self, text: str) -> None:
        """Until readiness gives a reason with this text."""
        wait_until(lambda: text in " ".join(self.get("/health/ready").json()["reasons"]))

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(PATIENCE)


Start = Callable[..., Server]


@pytest.fixture(scope="session")
def start_anywhere(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Start]:
    """Starts servers; they are stopped at the end, whatever happened."""
    running: list[Server] = []

    def start(
        repository: Path,
        *options: str,
        environment: dict[str, str] | None = None,
        until: str = "/v2/health/ready",
        host: str = "127.0.0.1",
    ) -> Server:
        port = free_port()
        log_file = tmp_path_factory.mktemp("server") / "log.jsonl"
        with log_file.open("w") as log:
            process = subprocess.Popen(
                [
                    COMMAND,
                    f"--model-repository={repository}",
                    f"--host={host}",
                    f"--port={port}",
                    "--drain-seconds=0",
                    *options,
                ],
                stdout=log,
                stderr=log,
                text=True,
                env=os.environ | (environment or {}),
            )
        client = httpx.Client(base_url=f"http://{host}:{port}", timeout=PATIENCE)
        server = Server(process, client, log_file)
        running.append(server)
        wait_until(lambda: process.poll() is not None or server.status(until) == 200)
        assert process.poll() is None, log_file.read_text()
        return server

    yield start
    for server in running:
        server.process.terminate()
    for server in running:
        server.client.close()
        server.stop()


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model, `flowers`, in versions 2 and 10."""
    folder = tmp_path_factory.mktemp("repository")
    classifier(folder / "flowers" / "2" / "model.onnx", scale=1)
    classifier(folder / "flowers" / "10" / "model.onnx", scale=2)
    return folder


@pytest.fixture(scope="session")
def server(repository: Path, start_anywhere: Start) -> Server:
    """A server of that repository that logs every request."""
    return start_anywhere(repository, "--log-sample-rate=1", "--max-body-bytes=65536")


@pytest.fixture
def start(start_anywhere: Start) -> Iterator[Start]:
    """Starts servers of one test; they are told to stop at its end, and nobody waits for that."""
    started: list[Server] = []

    def start(*arguments: Any, **named: Any) -> Server:
        started.append(start_anywhere(*arguments, **named))
        return started[-1]

    yield start
    for server in started:
        server.client.close()
        if server.process.poll() is None:
            server.process.terminate()
