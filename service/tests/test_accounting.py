"""However a request ends, it has been started once and finished once, and nothing stays active."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import threading
from collections.abc import Callable

import httpx
import pytest

from .conftest import PATIENCE, Server, Start, wait_until
from .onnx_models import classifier

BODY = b'{"instances": [[0.1, 0.2, 0.3]]}'
LARGE = b'{"instances": [' + b",".join([b"[0.1, 0.2, 0.3]"] * 8000) + b"]}"
ROUNDS = 2


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    """A server with little patience and a queue that is soon full."""
    repository = tmp_path_factory.mktemp("busy")
    classifier(repository / "flowers" / "1" / "model.onnx", scale=1)
    (repository / "flowers" / "config.yaml").write_text("max_queue: 4\n")
    return start_anywhere(
        repository,
        "--request-seconds=1",
        "--idle-seconds=1",
        "--max-header-bytes=4096",
        "--max-connections=64",
    )


def post(body: bytes = BODY, *fields: str, path: str = "/predict", version: str = "1.1") -> bytes:
    lines = [f"POST {path} HTTP/{version}", "Host: test", f"Content-Length: {len(body)}", *fields]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


CHUNKED = b"POST /predict HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
HEALTH = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"
INDEX = b"POST /v2/repository/index HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n"
BROKEN = b"\x16\x03\x01\r\n\r\n"
SENT = {
    "whole": post(),
    "cold": HEALTH,
    "head": b"HEAD /health HTTP/1.1\r\nHost: test\r\n\r\n",
    "cut in the head": post()[:30],
    "cut in the body": post()[:-5],
    "cut in a large body": post(LARGE)[:-5],
    "cut in chunks": CHUNKED + b"20\r\n" + BODY[:10],
    "cut in a cold body": INDEX,
    "pipelined": post() * 20,
    "mixed": (post() + HEALTH + post(BODY, "Expect: 100-continue")) * 7,
    "cut behind others": post() * 3 + HEALTH + post()[:-5],
    "nonsense behind others": post() + HEALTH + post() + BROKEN,
    "close, then more": post(BODY, "Connection: close") + post() + HEALTH,
    "http 1.0": post(BODY, "Connection: keep-alive", version="1.0") + post(),
    "upgrade": post(BODY, "Connection: Upgrade", "Upgrade: h2c") + post(),
    "large head": post(BODY, "X-Long: " + "x" * 5000),
    "no json": post(b"{"),
    "unknown": post(path="/v2/models/nobody/infer") + post(path="/nowhere"),
    "too late": post(BODY, "X-Request-Timeout-Ms: 0"),
    "large": post(LARGE) * 3,
    "nothing": b"",
}


def leave(connection: socket.socket) -> None:
    connection.close()


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def half_close(connection: socket.socket) -> None:
    connection.shutdown(socket.SHUT_WR)
    read_all(connection)


def read_all(connection: socket.socket) -> None:
    """Until the server closes, as it does with a connection that is idle."""
    connection.settimeout(PATIENCE)
    try:
        while connection.recv(1 << 16):
            pass
    except (TimeoutError, ConnectionError):
        pass
    connection.close()


def read_a_little(connection: socket.socket) -> None:
    connection.settimeout(PATIENCE)
    with contextlib.suppress(TimeoutError, ConnectionError):
        connection.recv(1)
    reset(connection)


ENDS: list[Callable[[socket.socket], None]] = [leave, reset, half_close, read_all, read_a_little]


def attempt(server: Server, sent: bytes, end: Callable[[socket.socket], None]) -> None:
    url = server.client.base_url
    try:
        connection = socket.create_connection((url.host, url.port or 0), PATIENCE)
        connection.sendall(sent)
        end(connection)
    except OSError:
        pass  # the server has closed already


def sums(server: Server) -> tuple[float, float, float]:
    """Requests started, finished and active, without those that read the metrics."""
    with httpx.Client(base_url=server.client.base_url, timeout=PATIENCE) as client:
        text = client.get("/metrics").text
    totals = dict.fromkeys(("http_requests_started_total", "http_requests_total"), 0.0)
    for name in totals:
        for labels, value in re.findall(rf"(?m)^{name}{{(.*)}} (\S+)$", text):
            if 'endpoint="metrics"' not in labels:
                totals[name] += float(value)
    active = float(re.findall(r"(?m)^http_requests_active (\S+)$", text)[0])
    return (*totals.values(), active - 1)  # type: ignore[return-value]


def settled(server: Server) -> bool:
    started, finished, active = sums(server)
    return started == finished and active == 0


def test_every_request_that_was_started_is_finished(busy: Server) -> None:
    before = sums(busy)
    threads = [
        threading.Thread(target=attempt, args=(busy, sent, end), daemon=True)
        for _ in range(ROUNDS)
        for sent in SENT.values()
        for end in ENDS
    ]
    for number, thread in enumerate(threads):
        thread.start()
        if number % 40 == 39:
            for each in threads[number - 39 : number + 1]:
                each.join(PATIENCE)
    for thread in threads:
        thread.join(PATIENCE)
    assert not any(thread.is_alive() for thread in threads)
    wait_until(lambda: settled(busy))
    assert sums(busy)[0] > before[0] + 200
    assert busy.process.poll() is None
    wrong = [event["message"] for event in busy.events() if event["level"] == "error"]
    assert set(wrong) <= {"request"}  # the access log's lines of a 504
