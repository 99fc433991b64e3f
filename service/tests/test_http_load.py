"""The load generator of the bench, against servers whose behaviour is known."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from service.bench.load import Load, Request, send
from service.bench.places import GENERATOR, ROOT

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


@pytest.fixture(scope="module", autouse=True)
def _generator() -> None:
    subprocess.run([sys.executable, "tools/install.py", "http-load"], cwd=ROOT, check=True)
    assert GENERATOR.exists()


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            answer(self, self.rfile.read(int(self.headers["Content-Length"])))

        def log_message(self, *arguments: object) -> None:
            pass

    class Server(ThreadingHTTPServer):
        request_queue_size = 128

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def reply(handler: BaseHTTPRequestHandler, body: bytes, status: int = 200) -> None:
    handler.send_response(status)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def echo(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    reply(handler, body)


def test_a_number_of_requests_is_sent_and_each_answer_counted() -> None:
    bodies = (b"\x00\x01\xff", b"x" * 100_000)
    with serving(echo) as address:
        requests = [Request("/", body, answers=(body,)) for body in bodies]
        report = send(address, requests, Load(4, count=200))
    assert (report.started, report.lost, report.wrong) == (200, 0, 0)
    assert report.statuses[200].count == 200


def test_a_wrong_answer_is_counted_even_where_its_status_is_200() -> None:
    with serving(echo) as address:
        requests = [Request("/", b"a", answers=(b"a",)), Request("/", b"b", answers=(b"a",))]
        report = send(address, requests, Load(1, count=10))
    assert report.wrong == 5


def test_statuses_are_counted_apart() -> None:
    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        reply(handler, body, 429 if body == b"no" else 200)

    with serving(answer) as address:
        report = send(address, [Request("/", b"no"), Request("/", b"yes")], Load(1, count=10))
    assert {status: one.count for status, one in report.statuses.items()} == {200: 5, 429: 5}


def test_an_answer_in_chunks_is_read_whole() -> None:
    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for part in (body[:3], body[3:]):
            handler.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        handler.wfile.write(b"0\r\n\r\n")

    with serving(answer) as address:
        report = send(
            address, [Request("/", b"abcdefgh", answers=(b"abcdefgh",))], Load(2, count=20)
        )
    assert (report.statuses[200].count, report.wrong, report.lost) == (20, 0, 0)


def test_a_connection_cut_within_an_answer_is_a_lost_request_and_opened_again() -> None:
    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if body == b"cut":
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            handler.close_connection = True
        else:
            reply(handler, body)

    with serving(answer) as address:
        report = send(address, [Request("/", b"cut"), Request("/", b"whole")], Load(1, count=10))
    assert report.lost == 5
    assert report.statuses[200].count == 5


def test_an_open_loop_counts_from_the_moment_a_request_was_due() -> None:
    """A stall of half a second delays all that were due meanwhile, not one request."""
    stalled = threading.Event()

    def answer(handler: BaseHTTPRequestHandler, body: bytes) -> None:
        if not stalled.is_set():
            stalled.set()
            time.sleep(0.5)
        reply(handler, body)

    with serving(answer) as address:
        load = Load(1, seconds=1, warmup=0, rate=50, poisson=False)
        report = send(address, [Request("/", b"x")], load)
    assert report.statuses[200].count == 50
    assert report.latency("75") > 0.1
    assert report.latency("95") > 0.4


def test_an_open_loop_sends_what_was_asked_for() -> None:
    with serving(echo) as address:
        load = Load(16, seconds=2, warmup=0, rate=100, poisson=True)
        report = send(address, [Request("/", b"x")], load)
    assert 150 < report.started < 250
    assert report.statuses[200].count == report.started
