"""Steady open-loop traffic of real requests through the gateway, each one recorded."""

from __future__ import annotations

import asyncio
import itertools
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from release_play.run import real_requests

MODEL = "breast-cancer"
RATE = 150.0
MAX_IN_FLIGHT = 200
REQUEST_SECONDS = 10.0
TICK_SECONDS = 0.02
NO_ANSWER = 0
BUCKETS = 100


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of one request, sent at `at` (Unix seconds)."""

    at: float
    seconds: float
    status: int
    """HTTP status; 0 where no complete answer came."""
    version: str | None
    """X-Model-Version; None where the answer did not come from a model."""
    sent_id: str
    request_id: str | None

    @property
    def bucket(self) -> int:
        """X-Bucket, where the client sends it: 0 to 99, in turn."""
        return _bucket(self.sent_id)

    @property
    def lost(self) -> bool:
        """No answer, or an error of the server's side."""
        return self.status == NO_ANSWER or self.status >= 500


@dataclass(frozen=True)
class Target:
    """Where a client sends: the gateway's address, the hostname it asks for, its API keys."""

    address: str
    hostname: str
    keys: Sequence[str]


class Traffic:
    """A thread that sends `rate` requests per second until it is closed; `rate` may be set.

    Requests take the keys in turn, so that none comes near the limit of one client; `bucketed`
    ones say in X-Bucket which of 100 groups of users they come from.
    """

    def __init__(self, target: Target, rate: float = RATE, *, bucketed: bool = False):
        if not target.keys:
            raise ValueError(f"no API key for {target.hostname}")
        self.target, self.rate, self.bucketed = target, rate, bucketed
        self.began = time.time()
        self.postponed = 0
        """Requests that were not sent, because too many waited for their answers."""
        self._answers: list[Answer] = []
        self._bodies = itertools.cycle(real_requests(MODEL))
        self._keys = itertools.cycle(target.keys)
        self._ids = itertools.count(1)
        self._stop = threading.Event()
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="traffic", daemon=True)

    def __enter__(self) -> Traffic:
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
        if self._error:
            raise self._error

    def answers(self, since: float = 0.0, until: float = float("inf")) -> list[Answer]:
        """The requests that were sent in this time."""
        return [answer for answer in list(self._answers) if since <= answer.at < until]

    def lost(self, since: float = 0.0, until: float = float("inf")) -> list[Answer]:
        """Those of them that got no answer, or a 5xx."""
        return [answer for answer in self.answers(since, until) if answer.lost]

    def by_version(self, since: float = 0.0, until: float = float("inf")) -> Counter[str | None]:
        """How many each version answered."""
        return Counter(answer.version for answer in self.answers(since, until))

    def refused(self) -> Counter[int]:
        """Answers that a sound client never gets here: 4xx, by status."""
        statuses = Counter(answer.status for answer in self.answers())
        return Counter({k: v for k, v in statuses.items() if 400 <= k < 500})

    def per_second(self) -> list[dict[str, Any]]:
        """Requests by second, version and status, for the report."""
        counts = Counter((int(a.at), a.version or "none", a.status) for a in self.answers())
        return [
            {"at": at, "version": version, "status": status, "requests": count}
            for (at, version, status), count in sorted(counts.items())
        ]

    def _run(self) -> None:
        try:
            asyncio.run(self._send_all())
        except BaseException as error:
            self._error = error

    async def _send_all(self) -> None:
        host, port = self.target.address.rsplit(":", 1)
        connector = aiohttp.TCPConnector(
            limit=MAX_IN_FLIGHT, resolver=_Fixed(host), ssl=_unverified()
        )
        timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS)
        base = f"https://{self.target.hostname}:{port}"
        async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
            in_flight: set[asyncio.Task[None]] = set()
            owed, before = 0.0, time.monotonic()
            while not self._stop.is_set():
                now = time.monotonic()
                owed, before = owed + (now - before) * self.rate, now
                for _ in range(int(owed)):
                    self._begin(session, base, in_flight)
                owed -= int(owed)
                await asyncio.sleep(TICK_SECONDS)
            await asyncio.gather(*in_flight, return_exceptions=True)

    def _begin(
        self, session: aiohttp.ClientSession, base: str, in_flight: set[asyncio.Task[None]]
    ) -> None:
        if len(in_flight) >= MAX_IN_FLIGHT:
            self.postponed += 1
            return
        task = asyncio.create_task(self._send(session, base))
        in_flight.add(task)
        task.add_done_callback(in_flight.discard)

    async def _send(self, session: aiohttp.ClientSession, base: str) -> None:
        request, given = next(self._bodies), f"e2e-{next(self._ids)}"
        headers = {
            "Content-Type": "application/json",
            # Without the port: this client stands where a client of port 443 would.
            "Host": self.target.hostname,
            "X-API-Key": next(self._keys),
            "X-Request-ID": given,
        }
        if self.bucketed:
            headers["X-Bucket"] = f"{_bucket(given):02d}"
        at, begin = time.time(), time.monotonic()
        status, version, returned = NO_ANSWER, None, None
        try:
            async with session.post(
                f"{base}{request.path}", data=request.body, headers=headers
            ) as response:
                await response.read()
                version = response.headers.get("X-Model-Version")
                returned = response.headers.get("X-Request-ID")
                status = response.status
        except (aiohttp.ClientError, OSError, TimeoutError):
            status = NO_ANSWER
        seconds = time.monotonic() - begin
        self._answers.append(Answer(at, seconds, status, version, given, returned))


def _bucket(sent_id: str) -> int:
    return int(sent_id.removeprefix("e2e-")) % BUCKETS


class _Fixed(AbstractResolver):
    """Resolves every name to the gateway: DNS knows nothing of a scenario's hostname."""

    def __init__(self, address: str):
        self._address = address

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(
                hostname=host,
                host=self._address,
                port=port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    async def close(self) -> None:
        """Nothing is held open."""


def _unverified() -> ssl.SSLContext:
    """No chain is checked under load; a scenario of the gateway checks the certificate."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
