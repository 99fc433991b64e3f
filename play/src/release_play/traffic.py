"""Open-loop traffic of real requests, split between stable and canary by weight."""

from __future__ import annotations

import asyncio
import random
import threading
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType

import aiohttp

MAX_IN_FLIGHT = 256
REQUEST_SECONDS = 10.0
TICK_SECONDS = 0.02


@dataclass(frozen=True)
class Request:
    """One request to send: a path and a JSON body."""

    path: str
    body: bytes


@dataclass(frozen=True)
class Split:
    """Where requests go: `weight` percent to the canary, the rest to stable (base URLs)."""

    stable: str
    canary: str | None = None
    weight: int = 0

    def choose(self, draw: float) -> str:
        """The side, `stable` or `canary`, for a draw in [0, 1)."""
        return "canary" if self.canary and draw * 100 < self.weight else "stable"


@dataclass
class Tally:
    """What was sent since the count began, by side."""

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    lost: int = 0
    """Requests that got no complete HTTP response."""
    postponed: int = 0
    """Requests not sent because too many were in flight: the machine is too slow."""


class Traffic:
    """A thread that sends `rate` requests per second until the context is left."""

    def __init__(
        self,
        requests: Sequence[Request],
        rate: float,
        split: Split,
        headers: Mapping[str, str],
        seed: int = 0,
    ):
        self._requests, self._rate, self.split = requests, rate, split
        self._headers = {"Content-Type": "application/json", **headers}
        self._random = random.Random(seed)  # noqa: S311 (the split needs no secrecy)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)
        self.tally = Tally()
        self.error: BaseException | None = None

    def __enter__(self) -> Traffic:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join(REQUEST_SECONDS + 5)

    def begin_count(self) -> None:
        """Start a new tally, for the next release."""
        self.tally = Tally()

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as error:
            self.error = error

    async def _send_all(self) -> None:
        connector = aiohttp.TCPConnector(limit=MAX_IN_FLIGHT)
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            in_flight: set[asyncio.Task[None]] = set()
            sent, begin = 0, time.monotonic()
            while not self._stop.is_set():
                due = int((time.monotonic() - begin) * self._rate)
                for _ in range(due - sent):
                    if len(in_flight) >= MAX_IN_FLIGHT:
                        self.tally.postponed += 1
                        continue
                    task = asyncio.create_task(self._send(session))
                    in_flight.add(task)
                    task.add_done_callback(in_flight.discard)
                sent = due
                await asyncio.sleep(TICK_SECONDS)
            await asyncio.gather(*in_flight, return_exceptions=True)

    async def _send(self, session: aiohttp.ClientSession) -> None:
        split, tally = self.split, self.tally
        side = split.choose(self._random.random())
        base = split.canary if side == "canary" else split.stable
        request = self._random.choice(self._requests)
        tally.requests[side] += 1
        try:
            async with session.post(
                f"{base}{request.path}",
                data=request.body,
                headers=self._headers,
            ) as response:
                await response.read()
                tally.statuses[side, response.status] += 1
        except (aiohttp.ClientError, TimeoutError):
            tally.lost += 1
