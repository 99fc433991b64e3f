"""Clients that ask without a pause while the server is told to stop: none is left unanswered."""

import gzip
import http.client
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from .conftest import PATIENCE, Server, Start, wait_until

BODY = b'{"instances": [[1, 1, 1]]}'
HEADERS = {"Content-Type": "application/json"}


@dataclass
class Load:
    """Threads that ask until nobody listens; half of them connect anew for each request."""

    host: str
    port: int
    answers: list[int] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)

    def start(self, clients: int) -> list[threading.Thread]:
        threads = [
            threading.Thread(target=self._ask, args=(number % 2 == 0,), daemon=True)
            for number in range(clients)
        ]
        for thread in threads:
            thread.start()
        return threads

    def _ask(self, keep_alive: bool) -> None:
        connection: http.client.HTTPConnection | None = None
        while True:
            if connection is None:
                connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
                try:
                    connection.connect()
                except ConnectionRefusedError:
                    return
            try:
                connection.request("POST", "/predict", BODY, HEADERS)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(repr(error))
                connection = None
                continue
            self.answers.append(answer.status)
            if not keep_alive or answer.will_close:
                connection.close()
                connection = None


def load_of(server: Server) -> Load:
    return Load(str(server.client.base_url.host), server.client.base_url.port or 0)


@pytest.mark.parametrize("workers", [1, 2])
def test_no_request_is_lost_while_the_server_stops(
    repository: Path, start: Start, workers: int
) -> None:
    server = start(repository, "--drain-seconds=1", f"--workers={workers}")
    load = load_of(server)
    threads = load.start(8)
    wait_until(lambda: len(load.answers) > 100)
    begin, before = time.monotonic(), len(load.answers)
    server.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join(PATIENCE)
    assert server.process.wait(PATIENCE) == 0
    assert load.lost == []
    assert set(load.answers) == {200}
    assert len(load.answers) > before + 8  # more than were on their way
    assert time.monotonic() - begin >= 1


def test_a_server_that_is_still_loading_can_be_stopped(
    repository: Path, tmp_path: Path, start: Start
) -> None:
    patch = "import time, onnxruntime as o; o.InferenceSession = lambda *a, **k: time.sleep(3600)"
    (tmp_path / "sitecustomize.py").write_text(patch)
    environment = {"PYTHONPATH": os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])}
    server = start(repository, environment=environment, until="/health/live")
    assert server.status("/v2/health/ready") == 503
    assert server.post("/predict", BODY).status_code == 503
    assert server.stop() == 0


def test_a_kept_connection_is_answered_and_closed_while_the_server_drains(
    repository: Path, start: Start
) -> None:
    server = start(repository, "--drain-seconds=600")
    connection = http.client.HTTPConnection(load_of(server).host, load_of(server).port)
    connection.request("GET", "/health/live")
    connection.getresponse().read()
    server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: server.status("/v2/health/ready") == 503)
    connection.request("POST", "/predict", BODY, HEADERS)
    answer = connection.getresponse()
    assert answer.status == 200
    assert answer.getheader("connection") == "close"
    server.process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("workers", [1, 2])
def test_the_prediction_log_is_written_out_before_the_end(
    repository: Path, tmp_path: Path, start: Start, workers: int
) -> None:
    server = start(
        repository,
        f"--workers={workers}",
        f"--prediction-log-dir={tmp_path}",
        "--prediction-log-sample-rate=1",
    )
    for _ in range(50):
        assert server.post("/predict", {"instances": [[1, 1, 1]]}).status_code == 200
    assert server.stop() == 0
    files = tmp_path.glob("predictions-*.jsonl.gz")
    assert sum(len(gzip.decompress(file.read_bytes()).splitlines()) for file in files) == 50


def test_the_end_is_bounded_by_shutdown_seconds(repository: Path, start: Start) -> None:
    server = start(repository, "--shutdown-seconds=1")
    load = load_of(server)
    connection = http.client.HTTPConnection(load.host, load.port)
    connection.putrequest("POST", "/predict")
    connection.putheader("Content-Length", "100")
    connection.endheaders(b"{")  # and never the rest
    wait_until(lambda: server.status("/health/live") == 200)
    begin = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    assert server.process.wait(PATIENCE) == 0
    assert time.monotonic() - begin < 15
