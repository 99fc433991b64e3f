"""The route answers at one address as the side does that the weight chooses."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from release_play.route import Route, asked
from release_play.traffic import Split


@contextmanager
def side(name: str, status: int) -> Iterator[str]:
    """A server that answers with its name and with what it was sent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer("")

        def do_POST(self) -> None:
            self._answer(self.rfile.read(int(self.headers["Content-Length"])).decode())

        def _answer(self, body: str) -> None:
            key = self.headers["X-API-Key"]
            self.send_response(status)
            self.end_headers()
            self.wfile.write(json.dumps([name, self.path, body, key]).encode())

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


@contextmanager
def routed(split: Split) -> Iterator[Route]:
    route = Route(lambda: split)
    yield route
    route.close()


def test_what_is_sent_and_answered_passes_unchanged() -> None:
    with side("stable", 200) as stable, routed(Split(stable)) as route:
        headers = {"X-API-Key": "k", "Content-Type": "application/json"}
        status, answer = asked(route.address, "POST", "/predict?model=m", b"{}", headers)
        assert (status, json.loads(answer)) == (200, ["stable", "/predict?model=m", "{}", "k"])
        status, answer = asked(route.address, "GET", "/v2", None, {})
        assert (status, json.loads(answer)) == (200, ["stable", "/v2", "", None])


@pytest.mark.parametrize(("weight", "statuses"), [(0, {200}), (50, {200, 500}), (100, {500})])
def test_the_weight_chooses_the_side(weight: int, statuses: set[int]) -> None:
    with (
        side("stable", 200) as stable,
        side("canary", 500) as canary,
        routed(Split(stable, canary, weight)) as route,
    ):
        found = [asked(route.address, "GET", "/", None, {})[0] for _ in range(40)]
    assert set(found) == statuses


def test_a_side_that_is_gone_is_unavailable() -> None:
    with side("stable", 200) as stable:
        pass
    with routed(Split(stable)) as route:
        assert asked(route.address, "GET", "/", None, {}) == (503, b"{}")
