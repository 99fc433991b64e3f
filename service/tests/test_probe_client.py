"""What a probe waits for and takes from a server that behaves badly."""

import asyncio
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from inference_server.probe.client import Address, Answer, named_tensors, wait_until_served
from inference_server.probe.outcome import ProbeError


@contextmanager
def answering(*parts: bytes, pause: float = 0.0) -> Iterator[str]:
    """A server that sends these bytes to one client, with a pause after each part."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                asked = b""
                while not asked.endswith(b"{}"):  # what is left unread resets the connection
                    asked += connection.recv(65536)
                try:
                    for part in parts:
                        connection.sendall(part)
                        time.sleep(pause)
                except OSError:
                    return  # the client has heard enough

        thread = threading.Thread(target=serve)
        thread.start()
        yield "http://{}:{}".format(*listener.getsockname())
        thread.join()


def ask(url: str, seconds: float = 10.0) -> Answer:
    async def post() -> Answer:
        async with Address(url, None) as address:
            return await address.post("/predict", b"{}", seconds)

    return asyncio.run(post())


def test_an_answer_is_a_status_and_a_json_object() -> None:
    with answering(b'HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n{"a": 1}') as url:
        answer = ask(url)
    assert (answer.status, answer.content, answer.problem) == (200, {"a": 1}, None)


def test_a_server_that_answers_by_drops_is_left_in_time() -> None:
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 9000\r\n\r\n"
    with answering(head, *[b" "] * 10, pause=0.1) as url:
        start = time.monotonic()
        answer = ask(url, seconds=0.3)
        assert time.monotonic() - start < 5
    assert answer.problem == "no answer (not within 0.3 s)"


@pytest.mark.parametrize(
    ("sent", "problem"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\noops", "the answer is no JSON object"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n[]", "the answer is no JSON object"),
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "HTTP 503"),
        (b'HTTP/1.1 400 No\r\nContent-Length: 15\r\n\r\n{"error":"why"}', "HTTP 400: why"),
        (b"HTTP/1.1 302 Go\r\nLocation: /a\r\nContent-Length: 0\r\n\r\n", "HTTP 302"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n", "no answer (peer closed connection"),
        (b"no http at all\r\n\r\n", "no answer (illegal status line"),
        (b"", "no answer (Server disconnected without sending a response.)"),
    ],
)
def test_anything_else_is_a_problem_with_a_name(sent: bytes, problem: str) -> None:
    with answering(sent) as url:
        assert str(ask(url).problem).startswith(problem)


@pytest.mark.parametrize(("keep", "connections"), [(False, 3), (True, 1)])
def test_only_a_load_keeps_its_connections(keep: bool, connections: int) -> None:
    """A Service chooses a pod for each connection: one that is kept meets one pod for ever."""
    clients = set()

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            clients.add(self.client_address)
            self.send_response(200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_: object) -> None:
            """Quiet."""

    async def get_three(url: str) -> list[Answer]:
        async with Address(url, None, keep=keep) as address:
            return [await address.get("/") for _ in range(3)]

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever).start()
        answers = asyncio.run(get_three("http://{}:{}".format(*server.server_address[:2])))
        server.shutdown()
    assert [answer.problem for answer in answers] == [None] * 3
    assert len(clients) == connections


def test_a_large_answer_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("inference_server.probe.client.MAX_ANSWER_BYTES", 10)
    with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n" + b" " * 99) as url:
        assert ask(url).problem == "no answer (more than 10 bytes)"


class Later:
    """An address behind which the version is ready at the third question."""

    url = "http://canary"

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def get(self, path: str) -> Answer:
        self.asked.append(path)
        early = (Answer(None, reason="refused"), Answer(503, {}))
        return (*early, Answer(200, {}), Answer(200, {}))[len(self.asked) - 1]


def test_any_version_is_one_that_is_ready_by_the_name_alone() -> None:
    address = Later()
    asyncio.run(wait_until_served(address, "m", None, 20))  # type: ignore[arg-type]
    assert address.asked == ["/v2/models/m/ready"] * 3 + ["/v2/models/m"]


def wait(address: Later, seconds: float) -> None:
    asyncio.run(wait_until_served(address, "m", 7, seconds))  # type: ignore[arg-type]


def test_a_version_has_time_to_become_ready() -> None:
    address = Later()
    wait(address, seconds=20)
    assert address.asked == ["/v2/models/m/versions/7/ready"] * 3 + ["/v2/models/m/versions/7"]


def test_patience_ends() -> None:
    with pytest.raises(ProbeError, match=r"does not serve m version 7: no answer \(refused\)"):
        wait(Later(), seconds=0)


@pytest.mark.parametrize(
    ("content", "names"),
    [
        ({}, []),
        ({"outputs": 1}, []),
        ({"outputs": [1, {"name": []}, {"name": "y"}]}, ["y"]),
    ],
)
def test_what_is_no_tensor_is_left_out(content: dict, names: list[str]) -> None:
    assert list(named_tensors(content)) == names
