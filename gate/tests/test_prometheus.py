import json
import math
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any
from urllib.parse import parse_qs

import pytest
from canary_gate import PrometheusProvider, ProviderError


class Server(HTTPServer):
    """Answers every query with `body`, and remembers the last query."""

    body: Any = ""
    status = 200
    query = ""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        form = self.rfile.read(int(self.headers["Content-Length"])).decode()
        self.server.query = parse_qs(form)["query"][0]
        body = self.server.body
        self.send_response(self.server.status)
        self.end_headers()
        self.wfile.write((body if isinstance(body, str) else json.dumps(body)).encode())

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture
def provider(server: Server) -> Iterator[PrometheusProvider]:
    with PrometheusProvider(f"http://127.0.0.1:{server.server_port}/", 5) as provider:
        yield provider


def answer(kind: str, result: Any) -> dict[str, Any]:
    return {"status": "success", "data": {"resultType": kind, "result": result}}


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (answer("vector", []), []),
        (answer("vector", [{"value": [1, "2.5"]}, {"value": [1, "+Inf"]}]), [2.5, math.inf]),
        (answer("vector", [{"value": [1, "-Inf"]}, {"value": [1, "0"]}]), [-math.inf, 0.0]),
        (answer("scalar", [1, "7"]), 7.0),
        (answer("vector", [{"histogram": [1, {"count": "2", "sum": "7"}]}]), [0.0]),
        (answer("vector", [{"metric": {}}, None, {"value": [1]}]), [0.0, 0.0]),
        (answer("matrix", [None, {"metric": {}}]), []),
        (answer("matrix", [{"values": [[1, "1"], [2, "2"]]}, {"values": [[1, "3"]]}]), [1, 2, 3]),
    ],
)
def test_an_answer_becomes_numbers(
    server: Server, provider: PrometheusProvider, body: Any, value: Any
) -> None:
    server.body = body
    assert provider.query('sum(up{a="b"}) + 1') == value
    assert server.query == 'sum(up{a="b"}) + 1'


def test_nan_stays_nan(server: Server, provider: PrometheusProvider) -> None:
    server.body = answer("vector", [{"value": [1, "NaN"]}])
    (value,) = provider.query("up")  # type: ignore[misc]
    assert math.isnan(value)


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (400, {"status": "error", "error": "parse error: x"}, "Prometheus: parse error: x"),
        (503, "<html>", "Prometheus: HTTP 503"),
        (200, "<html>", "unreadable answer"),
        (200, [], "unreadable answer"),
        (200, {"status": "error", "error": "timed out"}, "Prometheus: timed out"),
        (500, answer("scalar", [1, "7"]), "Prometheus: HTTP 500"),
        (200, {"status": "success"}, "unreadable answer"),
        (200, answer("vector", [{"histogram": []}]), "unreadable answer"),
        (200, answer("vector", [{"value": [1, "many"]}]), "unreadable answer"),
        (200, answer("vector", [{"value": [1, " 1"]}]), "unreadable answer"),
        (200, answer("vector", [{"value": [1, 2]}]), "unreadable answer"),
        (200, answer("vector", [{"value": [1, "1e999"]}]), "unreadable answer"),
        (200, answer("vector", [{"value": ["1", "2"]}]), "unreadable answer"),
        (200, answer("vector", [{"value": "12"}]), "unreadable answer"),
        (200, answer("matrix", [{"values": [[1, "2", "3"]]}]), "unreadable answer"),
        (200, answer("vector", {}), "unreadable answer"),
        (200, answer("string", [1, "x"]), "result type string is not supported"),
    ],
)
def test_an_answer_without_numbers_is_an_error(
    server: Server, provider: PrometheusProvider, status: int, body: Any, reason: str
) -> None:
    server.status, server.body = status, body
    with pytest.raises(ProviderError, match=reason):
        provider.query("up")


def test_a_server_that_is_gone_is_an_error(server: Server) -> None:
    provider = PrometheusProvider("http://127.0.0.1:1", 5)
    with pytest.raises(ProviderError, match="ConnectError"):
        provider.query("up")


@pytest.mark.parametrize("address", ["localhost:9090", "", "ftp://host"])
def test_an_address_that_is_no_url_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="is not a Prometheus address"):
        PrometheusProvider(address)
