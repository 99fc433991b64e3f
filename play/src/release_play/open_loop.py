"""A client that sends at a rate, whatever becomes of its requests."""

from __future__ import annotations

import asyncio
import threading
import time
from abc import ABC, abstractmethod
from types import TracebackType
from typing import Self

import aiohttp

MAX_IN_FLIGHT = 256
REQUEST_SECONDS = 10.0
TICK_SECONDS = 0.02


class OpenLoop(ABC):
    """A thread that begins requests at a steady rate until it is closed."""

    def __init__(self, rate: float):
        self.rate = rate
        self.postponed = 0
        """Requests that were not sent, because too many waited for their answers."""
        self.error: BaseException | None = None
        """What ended the thread before its time."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Send no more, and wait for the answers that are under way."""
        self._stop.set()
        if self._thread.ident:
            self._thread.join(REQUEST_SECONDS + 5)

    def rate_now(self) -> float:
        """Requests per second at this moment."""
        return self.rate

    @abstractmethod
    async def send(self, session: aiohttp.ClientSession) -> None:
        """Send one request, wait for its end and record it; raises nothing."""

    def connector(self) -> aiohttp.TCPConnector:
        """How connections are made."""
        return aiohttp.TCPConnector(limit=MAX_IN_FLIGHT)

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as error:
            self.error = error

    async def _send_all(self) -> None:
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        async with aiohttp.ClientSession(connector=self.connector(), timeout=timeout) as session:
            in_flight: set[asyncio.Task[None]] = set()
            owed, before = 0.0, time.monotonic()
            while not self._stop.is_set():
                now = time.monotonic()
                owed, before = owed + (now - before) * self.rate_now(), now
                for _ in range(int(owed)):
                    self._begin(session, in_flight)
                owed -= int(owed)
                await asyncio.sleep(TICK_SECONDS)
            await asyncio.gather(*in_flight, return_exceptions=True)

    def _begin(self, session: aiohttp.ClientSession, in_flight: set[asyncio.Task[None]]) -> None:
        if len(in_flight) >= MAX_IN_FLIGHT:
            self.postponed += 1
            return
        task = asyncio.create_task(self.send(session))
        in_flight.add(task)
        task.add_done_callback(in_flight.discard)
