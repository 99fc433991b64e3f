"""Steady open-loop traffic of real requests through the gateway, each one recorded."""

from __future__ import annotations

import itertools
import socket
import ssl
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from release_play.open_loop import MAX_IN_FLIGHT, OpenLoop
from release_play.run import real_requests

MODEL = "breast-cancer"
RATE = 150.0
# Where no share and no question depends on how much there is.
QUIET_RATE = 30.0
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


class Traffic(OpenLoop):
    """Sends `rate` requests per second through the gateway until it is closed.

    Where nobody looks (`looked_at`) it sends fewer: they cost what other scenarios need. Requests
    take the keys in turn, so that none comes near the limit of one client; `bucketed` ones say in
    X-Bucket which of 100 groups of users they come from.
    """

    def __init__(
        self,
        target: Target,
        rate: float = RATE,
        *,
        bucketed: bool = False,
        looked_at: Callable[[], bool] = lambda: True,
    ):
        if not target.keys:
            raise ValueError(f"no API key for {target.hostname}")
        super().__init__(rate)
        self.target, self.bucketed, self._looked_at = target, bucketed, looked_at
        self.began = time.time()
        self._answers: list[Answer] = []
        self._bodies = itertools.cycle(real_requests(MODEL))
        self._keys = itertools.cycle(target.keys)
        self._ids = itertools.count(1)

    def rate_now(self) -> float:
        """All of the rate while somebody looks."""
        return self.rate if self._looked_at() else min(self.rate, QUIET_RATE)

    def close(self) -> None:
        """Send no more, wait for the answers that are under way; raise what ended the thread."""
        super().close()
        if self.error:
            raise self.error

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

    def connector(self) -> aiohttp.TCPConnector:
        """Connections to the gateway, whatever name is asked for."""
        host, _ = self._gateway
        return aiohttp.TCPConnector(limit=MAX_IN_FLIGHT, resolver=_Fixed(host), ssl=_unverified())

    @property
    def _gateway(self) -> tuple[str, str]:
        host, port = self.target.address.rsplit(":", 1)
        return host, port

    async def send(self, session: aiohttp.ClientSession) -> None:
        """Send one request with the next body, key and id, and keep its answer."""
        base = f"https://{self.target.hostname}:{self._gateway[1]}"
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
