"""What a connection may do, and what becomes of one that does too little or too much."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from .conftest import PATIENCE, Server, Start, wait_until

BODY = b'{"instances": [[0.1, 0.2, 0.3]]}'


@pytest.fixture(scope="module")
def strict(repository: Path, start_anywhere: Start) -> Server:
    """A server with little patience."""
    return start_anywhere(
        repository,
        "--request-seconds=2",
        "--idle-seconds=2",
        "--max-header-bytes=4096",
        "--max-connections=20",
        "--max-body-bytes=4096",
    )


def address(server: Server) -> tuple[str, int]:
    url = server.client.base_url
    assert url.port is not None
    return url.host, url.port


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(address(server), PATIENCE) as connection:
        yield connection


def post(body: bytes = BODY, path: str = "/predict", *headers: str) -> bytes:
    lines = [f"POST {path} HTTP/1.1", "Host: test", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


def read_answer(connection: socket.socket, buffer: bytearray) -> tuple[int, dict[str, str], bytes]:
    """The next answer; `buffer` keeps what has come of the one after."""
    while b"\r\n\r\n" not in buffer:
        buffer += _more(connection)
    head, _, rest = bytes(buffer).partition(b"\r\n\r\n")
    status_line, *lines = head.decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
    while len(rest) < int(headers["content-length"]):
        rest += _more(connection)
    size = int(headers["content-length"])
    buffer[:] = rest[size:]
    return int(status_line.split()[1]), headers, rest[:size]


def _more(connection: socket.socket) -> bytes:
    part = connection.recv(65536)
    assert part, "closed before the answer"
    return part


def closed_after(connection: socket.socket) -> bytes:
    """All that comes until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def test_a_connection_is_kept_for_the_next_request(server: Server) -> None:
    with connected(server) as connection:
        buffer = bytearray()
        for _ in range(3):
            connection.sendall(post())
            assert read_answer(connection, buffer)[0] == 200


def test_pipelined_requests_are_answered_in_order(server: Server) -> None:
    with connected(server) as connection:
        requests = [post(BODY, "/predict", f"X-Request-ID: number-{n}") for n in range(8)]
        requests[3] = b"GET /health/live HTTP/1.1\r\nHost: test\r\nX-Request-ID: number-3\r\n\r\n"
        connection.sendall(b"".join(requests))
        buffer = bytearray()
        answers = [read_answer(connection, buffer) for _ in requests]
    assert [headers["x-request-id"] for _, headers, _ in answers] == [
        f"number-{n}" for n in range(8)
    ]
    assert [status for status, _, _ in answers] == [200] * 8


@pytest.mark.parametrize("cut", [1, 20, 60, 90, 110])
def test_a_request_may_come_in_pieces(server: Server, cut: int) -> None:
    with connected(server) as connection:
        request = post()
        connection.sendall(request[:cut])
        time.sleep(0.02)  # so that the pieces arrive apart
        connection.sendall(request[cut:])
        assert read_answer(connection, bytearray())[0] == 200


def test_a_chunked_body_gets_the_answer_of_a_plain_one(server: Server) -> None:
    plain = server.post("/predict", BODY)
    chunked = server.client.post("/predict", content=iter([BODY[:7], BODY[7:]]))
    assert chunked.request.headers["transfer-encoding"] == "chunked"
    assert (chunked.status_code, chunked.content) == (plain.status_code, plain.content)
    varying = {"x-request-id", "date"}
    assert {k: v for k, v in chunked.headers.items() if k not in varying} == {
        k: v for k, v in plain.headers.items() if k not in varying
    }


def test_expect_100_continue_is_honoured(server: Server) -> None:
    with connected(server) as connection:
        request = post(BODY, "/predict", "Expect: 100-continue")
        connection.sendall(request[: -len(BODY)])
        assert connection.recv(65536).startswith(b"HTTP/1.1 100 ")
        connection.sendall(BODY)
        assert read_answer(connection, bytearray())[0] == 200


def test_connection_close_is_honoured(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(post(BODY, "/predict", "Connection: close"))
        answer = closed_after(connection)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"connection: close" in answer.lower()


def test_http_1_0_is_answered_and_closed(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(post().replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b" 200 " in closed_after(connection).split(b"\r\n")[0]


def test_http_1_0_is_closed_after_the_answer_though_it_asks_for_more(server: Server) -> None:
    # such a client waits for the end, unless the answer says `Connection: keep-alive`
    with connected(server) as connection:
        request = post(BODY, "/predict", "Connection: Keep-Alive")
        connection.sendall(request.replace(b"HTTP/1.1", b"HTTP/1.0"))
        assert b" 200 " in closed_after(connection).split(b"\r\n")[0]


UPGRADE = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")


@pytest.mark.parametrize("cut", [30, -10, None], ids=["in the head", "in the body", "nowhere"])
def test_an_upgrade_is_not_taken_but_the_request_is(server: Server, cut: int | None) -> None:
    # as Java's HttpClient asks first of all; the body must not pass for another request
    with connected(server) as connection:
        buffer = bytearray()
        request = post(BODY, "/predict", *UPGRADE) + post()
        connection.sendall(request[:cut])
        if cut is not None:
            time.sleep(0.02)  # so that the pieces arrive apart
            connection.sendall(request[cut:])
        assert [read_answer(connection, buffer)[0] for _ in range(2)] == [200, 200]


@pytest.mark.parametrize("target", [b"example.org:443", b"/predict", b"http://example.org/"])
def test_connect_is_refused(server: Server, target: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(b"CONNECT %b HTTP/1.1\r\nHost: example.org:443\r\n\r\n" % target)
        assert read_answer(connection, bytearray())[0] in (400, 404, 405)


HEALTH = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"


@pytest.mark.parametrize("whole", [[post()], [HEALTH], [post(), HEALTH, post()]])
def test_requests_are_answered_though_no_http_follows_them(
    server: Server, whole: list[bytes]
) -> None:
    with connected(server) as connection:
        connection.sendall(b"".join(whole) + b"\x16\x03\x01 hello\r\n\r\n")
        answers = closed_after(connection)
    assert answers.count(b"HTTP/1.1 200 ") == len(whole)
    assert b"HTTP/1.1 400 " not in answers


def test_what_is_no_http_is_a_400(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = closed_after(connection)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert json.loads(answer.partition(b"\r\n\r\n")[2])["status"] == 400


def test_headers_beyond_the_limit_are_a_431(strict: Server) -> None:
    with connected(strict) as connection:
        connection.sendall(b"POST /predict HTTP/1.1\r\nX-Long: " + b"x" * 5000)
        assert closed_after(connection).startswith(b"HTTP/1.1 431 ")


def test_whole_headers_beyond_the_limit_are_a_431(strict: Server) -> None:
    with connected(strict) as connection:
        connection.sendall(post(BODY, "/predict", "X-Long: " + "x" * 5000))
        assert closed_after(connection).startswith(b"HTTP/1.1 431 ")


def test_a_body_beyond_the_limit_is_a_413(strict: Server) -> None:
    with connected(strict) as connection:
        connection.sendall(post(b" " * 5000))
        assert read_answer(connection, bytearray())[0] == 413


@pytest.mark.parametrize("sent", [b"POST /pre", post()[:-5]], ids=["headers", "body"])
def test_a_request_that_does_not_arrive_is_a_408(strict: Server, sent: bytes) -> None:
    with connected(strict) as connection:
        connection.sendall(sent)
        assert closed_after(connection).startswith(b"HTTP/1.1 408 ")


def test_an_idle_connection_is_closed_without_a_word(strict: Server) -> None:
    with connected(strict) as connection:
        connection.sendall(post())
        read_answer(connection, bytearray())
        assert closed_after(connection) == b""


def test_more_connections_than_allowed_cost_the_one_that_is_idle_longest(strict: Server) -> None:
    with connected(strict) as first:
        first.sendall(post())
        read_answer(first, bytearray())
        others = [socket.create_connection(address(strict), PATIENCE) for _ in range(25)]
        try:
            assert closed_after(first) == b""
            others[-1].sendall(post())
            assert read_answer(others[-1], bytearray())[0] == 200
        finally:
            for other in others:
                other.close()


def test_requests_that_never_end_do_not_take_more_connections_than_allowed(strict: Server) -> None:
    slow = []
    for _ in range(60):
        slow.append(socket.create_connection(address(strict), PATIENCE))
        slow[-1].sendall(b"POST /pre")
    with connected(strict) as connection:
        connection.sendall(post())
        assert read_answer(connection, bytearray())[0] == 200
    told = 0
    for each in slow:
        with each, contextlib.suppress(ConnectionResetError):
            told += closed_after(each).startswith(b"HTTP/1.1 408 ")
    assert told <= 20


def test_a_client_that_leaves_is_counted_as_such(server: Server) -> None:
    def left() -> float:
        sample = 'http_requests_total{endpoint="predict",method="POST",status="499"}'
        return server.metric(sample) or 0

    before = left()
    with connected(server) as connection:
        connection.sendall(post(path="/predict")[:-5].replace(b"Content-Length", b"X-No-Length"))
        connection.sendall(b"")
    with connected(server) as connection:
        connection.sendall(
            b"POST /predict HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc"
        )
        time.sleep(0.05)  # the server has begun to read
    wait_until(lambda: left() > before)


def test_every_answer_carries_the_headers_of_a_careful_server(server: Server) -> None:
    for answer in (server.post("/predict", BODY), server.get("/health"), server.get("/nowhere")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "server" not in answer.headers
        assert answer.headers["x-request-id"]


@pytest.mark.parametrize("chunked", [False, True], ids=["fast lane", "ASGI"])
def test_json_that_is_nested_too_deep_is_a_400_on_both_ways(server: Server, chunked: bool) -> None:
    deep = b'{"instances": [[0.1, 0.2, 0.3]], "more": ' + b"[" * 70 + b"]" * 70 + b"}"
    answer = server.client.post("/predict", content=iter([deep]) if chunked else deep)
    assert answer.status_code == 400
    assert "nested" in answer.json()["detail"]
