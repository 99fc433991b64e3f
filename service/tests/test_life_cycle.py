"""Starting, overload, draining and stopping of a real process."""

import json
import signal
import socket
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from .conftest import COMMAND, PATIENCE, Server, Start, wait_until
from .onnx_models import slow

ROW = {"instances": [[1, 1, 1]]}
SIZE = 1200


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [COMMAND, *arguments],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        env=os.environ | environment,
        check=False,
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("workers", [1, 2])
def test_a_signal_means_not_ready_at_once_but_served_until_a_second_one(
    repository: Path, start: Start, number: signal.Signals, workers: int
) -> None:
    server = start(repository, "--drain-seconds=600", f"--workers={workers}")
    server.process.send_signal(number)
    wait_until(lambda: server.status("/v2/health/ready") == 503)
    answer = server.post("/predict", ROW)
    assert answer.status_code == 200
    assert answer.headers["connection"] == "close"
    assert "draining" in server.get("/health/ready").json()["reasons"][0]
    assert server.get("/v2/models/flowers/ready").status_code == 503
    server.process.send_signal(number)
    assert server.process.wait(PATIENCE) == 0
    assert any(event["message"] == "draining" for event in server.events())


@pytest.fixture
def slow_server(tmp_path: Path, start: Start) -> Server:
    slow(tmp_path / "slow" / "1" / "model.onnx", SIZE)
    return start(tmp_path, "--max-queue=1", "--max-body-bytes=100000000")


def test_health_answers_while_a_model_runs_and_a_full_queue_refuses(slow_server: Server) -> None:
    rows = json.dumps({"instances": [[0] * SIZE] * 1000})
    refusals = 'inference_rejected_total{model_id="slow",reason="queue_full"}'
    with ThreadPoolExecutor() as pool:
        asked = [pool.submit(slow_server.client.post, "/predict", content=rows) for _ in range(5)]
        wait_until(lambda: bool(slow_server.metric(refusals)))
        assert slow_server.get("/v2/health/ready").status_code == 200
        answers = [each.result(PATIENCE) for each in asked]
    refused = [answer for answer in answers if answer.status_code == 429]
    assert len(refused) == slow_server.metric(refusals)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert {answer.status_code for answer in answers} == {200, 429}


def test_a_request_in_flight_is_finished_before_the_end(slow_server: Server) -> None:
    rows = {"instances": [[0] * SIZE] * 400}
    begun = 'http_requests_started_total{endpoint="predict"}'
    with ThreadPoolExecutor() as pool:
        running = pool.submit(slow_server.post, "/predict", rows)
        wait_until(lambda: slow_server.metric(begun) == 1)
        slow_server.process.send_signal(signal.SIGTERM)
        assert running.result(PATIENCE).status_code == 200
    assert slow_server.process.wait(PATIENCE) == 0


def test_a_client_that_leaves_is_no_server_error(server: Server) -> None:
    sample = 'http_requests_total{endpoint="predict",method="POST",status="499"}'
    before = server.metric(sample) or 0
    with socket.create_connection((server.client.base_url.host, server.client.base_url.port)) as c:
        c.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n{")
    wait_until(lambda: server.metric(sample) == before + 1)


def test_a_taken_port_is_named(server: Server, repository: Path) -> None:
    port = server.client.base_url.port
    ended = run("--model-repository", str(repository), "--port", str(port))
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_another_loopback_address_can_be_taken(repository: Path, start: Start) -> None:
    server = start(repository, host="127.0.0.2")
    address = f"http://127.0.0.2:{server.client.base_url.port}/health"
    assert httpx.get(address).status_code == 200


@pytest.mark.parametrize(
    ("option", "message"),
    [
        (["--port=70000"], "--port (PORT)"),
        (["--workers=0"], "--workers (WORKERS)"),
        (["--log-level=loud"], "--log-level (LOG_LEVEL)"),
        (["--log-sample-rate=2"], "--log-sample-rate (LOG_SAMPLE_RATE)"),
        (["--model-repository=/nowhere"], "--model-repository (MODEL_REPOSITORY): /nowhere is no"),
        (["--api-key-hashes-file=/nowhere"], "--api-key-hashes-file (API_KEY_HASHES_FILE)"),
        (["--model-sha256=abc"], "--model-sha256 (MODEL_SHA256)"),
        (["--model-name=m"], "MODEL_NAME, MODEL_VERSION and MODEL_SHA256 go together"),
    ],
)
def test_an_invalid_setting_is_named(repository: Path, option: list[str], message: str) -> None:
    ended = run("--model-repository", str(repository), *option)
    assert ended.returncode == 2
    assert message in ended.stderr
    assert "Traceback" not in ended.stderr


def test_settings_come_from_the_environment_too_and_options_win(repository: Path) -> None:
    ended = run("--port=1", MODEL_REPOSITORY=str(repository), PORT="70000", WORKERS="many")
    assert "WORKERS" in ended.stderr
    assert "PORT" not in ended.stderr


def test_start_is_quick(repository: Path, start: Start) -> None:
    begin = time.monotonic()
    start(repository)
    assert time.monotonic() - begin < 10  # bound for a loaded machine; typically 1


def test_sixty_four_clients_get_their_own_answers(server: Server) -> None:
    barrier = threading.Barrier(64)

    def ask(number: int) -> bool:
        barrier.wait(PATIENCE)
        sign = 1 if number % 2 else -1
        answer = server.post("/predict", {"instances": [[sign * (number + 1), 0, 0]]})
        return answer.json()["predictions"] == [number % 2]

    with ThreadPoolExecutor(64) as pool:
        assert all(pool.map(ask, range(64)))
