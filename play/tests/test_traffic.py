"""Requests are split by weight at the asked rate, and none is lost without being counted."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Iterator

import pytest
from aiohttp import web
from hypothesis import given
from hypothesis import strategies as st
from release_play.processes import free_port
from release_play.traffic import Request, Split, Traffic

REQUESTS = [Request("/predict", b'{"instances": [[1.0]]}')]


class Server:
    """An HTTP server that counts what it gets; `status` is what it answers."""

    def __init__(self, status: int = 200):
        self.seen: Counter[str] = Counter()
        self.status, self.port = status, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _answer(self, request: web.Request) -> web.Response:
        self.seen[request.headers.get("X-API-Key", "none")] += 1
        return web.Response(status=self.status)

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        app = web.Application()
        app.router.add_post("/predict", self._answer)
        runner = web.AppRunner(app)
        self._loop.run_until_complete(runner.setup())
        self._loop.run_until_complete(web.TCPSite(runner, "127.0.0.1", self.port).start())
        self._ready.set()
        self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)


@pytest.fixture
def servers() -> Iterator[tuple[Server, Server]]:
    pair = Server(), Server(status=500)
    yield pair
    for server in pair:
        server.stop()


def send_until(traffic: Traffic, requests: int, limit: float = 20.0) -> None:
    deadline = time.monotonic() + limit
    while sum(traffic.tally.requests.values()) < requests:
        assert time.monotonic() < deadline, f"only {traffic.tally} after {limit} s"
        time.sleep(0.02)


def test_the_weight_decides_who_gets_how_much(servers: tuple[Server, Server]) -> None:
    stable, canary = servers
    split = Split(stable.url, canary.url, 20)
    with Traffic(REQUESTS, 400, split, {"X-API-Key": "k"}) as traffic:
        send_until(traffic, 400)
    tally = traffic.tally
    share = tally.requests["canary"] / sum(tally.requests.values())
    assert 0.10 < share < 0.30
    assert tally.lost == 0
    assert canary.seen["k"] == tally.requests["canary"] == tally.statuses["canary", 500]
    assert stable.seen["k"] == tally.requests["stable"] == tally.statuses["stable", 200]


def test_a_new_weight_holds_from_the_next_request(servers: tuple[Server, Server]) -> None:
    stable, canary = servers
    with Traffic(REQUESTS, 200, Split(stable.url), {}) as traffic:
        send_until(traffic, 20)
        assert traffic.tally.requests["canary"] == 0
        traffic.split = Split(stable.url, canary.url, 100)
        traffic.begin_count()
        send_until(traffic, 20)
        assert traffic.tally.requests["stable"] <= 1


def test_a_request_without_an_answer_is_lost() -> None:
    with Traffic(REQUESTS, 100, Split(f"http://127.0.0.1:{free_port()}"), {}) as traffic:
        send_until(traffic, 10)
    assert traffic.tally.lost == traffic.tally.requests["stable"]
    assert traffic.error is None


@given(weight=st.integers(0, 100), draw=st.floats(0, 1, exclude_max=True))
def test_a_draw_goes_to_the_canary_below_the_weight_and_never_without_a_canary(
    weight: int, draw: float
) -> None:
    side = Split("stable", "canary", weight).choose(draw)
    assert (side == "canary") == (draw * 100 < weight)
    assert Split("stable", None, weight).choose(draw) == "stable"
