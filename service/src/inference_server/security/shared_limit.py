"""Token buckets that all servers share, in Redis or Valkey, without waiting for it.

Each process holds, for each client, a few tokens that it has fetched ahead (a lease), and may run
into debt while it asks for more. Lease and debt are at most a tenth of the burst each, and a debt
is charged to the bucket, so over any time t all W processes together admit at most
burst + rate * t + W * (lease + debt).
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from inference_server.errors import RequestError
from inference_server.security.client import Rate
from inference_server.security.rate_limit import MAX_CLIENTS, Limiter

_PREFIX = "inference-server:rate:"
_TIMEOUT_SECONDS = 0.25
_IDLE_SECONDS = 1.0
_RETRY_SECONDS = 1.0
# KEYS: the bucket. ARGV: tokens a second, burst, tokens spent or (negative) given back, wanted.
# Answers the tokens granted and the seconds until the next one.
_SETTLE = """
local t = redis.call('TIME')
local now = t[1] + t[2] / 1000000
local rate, burst = tonumber(ARGV[1]), tonumber(ARGV[2])
local bucket = redis.call('HMGET', KEYS[1], 'tokens', 'at')
local tokens = tonumber(bucket[1]) or burst
local at = tonumber(bucket[2]) or now
tokens = math.min(burst, tokens + math.max(0, now - at) * rate)
tokens = math.min(burst, tokens - tonumber(ARGV[3]))
local granted = math.max(0, math.min(tonumber(ARGV[4]), math.floor(tokens)))
tokens = tokens - granted
redis.call('HSET', KEYS[1], 'tokens', string.format('%.17g', tokens),
           'at', string.format('%.17g', now))
redis.call('PEXPIRE', KEYS[1], math.ceil((burst - tokens) / rate * 1000) + 1000)
return {granted, string.format('%.17g', math.max(0, (1 - tokens) / rate))}
"""

_log = logging.getLogger(__name__)


class _Account:
    """What this process holds of a client's bucket."""

    __slots__ = ("asked", "closed_until", "held", "rate", "share", "used_at")

    def __init__(self, rate: Rate, now: float) -> None:
        self.rate = rate
        self.share = math.ceil(rate.burst / 10)  # the most of a lease, and of a debt
        self.held = 0  # tokens of the lease; below zero: the debt
        self.closed_until = 0.0  # before that the bucket is known to be empty
        self.asked = False
        self.used_at = now

    @property
    def fills_in(self) -> float:
        """Seconds in which an empty bucket is full again."""
        return 60 * self.rate.burst / self.rate.per_minute


class _Settlement(NamedTuple):
    name: str
    account: _Account
    spent: int  # below zero: tokens given back
    wanted: int


class SharedLimiter:
    """Buckets in Redis; where it is away, `local` counts instead, or nobody is admitted."""

    def __init__(
        self,
        url: str,
        away: Literal["allow", "refuse"],
        local: Limiter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._redis: Redis = Redis.from_url(
            url,
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
            retry=Retry(NoBackoff(), 0),
            max_connections=2,
        )
        self._settle: Any = self._redis.register_script(_SETTLE)
        self._refuse_when_away = away == "refuse"
        self._local = local
        self._clock = clock
        self._accounts: dict[str, _Account] = {}
        self._due: set[str] = set()
        self._wake = asyncio.Event()
        self._away = False
        self._task: asyncio.Task[None] | None = None

    def take(self, client: str, rate: Rate) -> float:
        """Take a token: 0, or the seconds until there is one; RequestError 503 refuses."""
        if self._away:
            if self._refuse_when_away:
                raise RequestError(503, "the rate limit cannot be checked", {"Retry-After": "1"})
            return self._local.take(client, rate)
        now = self._clock()
        account = self._accounts.get(client)
        if account is None or account.rate != rate:
            account = self._open(client, rate, now)
        if account.held <= 0 and (now < account.closed_until or account.held <= -account.share):
            return max(account.closed_until - now, 0.1)
        account.held -= 1
        account.used_at = now
        if account.held < account.share / 2 and not account.asked:
            self._ask(client, account)
        return 0.0

    def _open(self, client: str, rate: Rate, now: float) -> _Account:
        if len(self._accounts) >= MAX_CLIENTS:
            del self._accounts[next(iter(self._accounts))]
        account = self._accounts[client] = _Account(rate, now)
        return account

    def _ask(self, client: str, account: _Account) -> None:
        account.asked = True
        self._due.add(client)
        self._wake.set()

    async def start(self) -> None:
        """Begin to settle with Redis; it need not be there yet."""
        await self._exchange([])
        self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Give back what is held and close the connections."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
        if not self._away:
            await self._exchange([self._settlement(name, 0) for name in self._accounts])
        await self._redis.aclose()

    async def _run(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_RETRY_SECONDS if self._away else _IDLE_SECONDS):
                    await self._wake.wait()
            except TimeoutError:
                self._sweep()
            self._wake.clear()
            due, self._due = self._due, set()
            if due or self._away:
                now = self._clock()
                await self._exchange(
                    [self._settlement(name, now) for name in due if name in self._accounts]
                )

    def _sweep(self) -> None:
        """Give back the leases of clients that went quiet, and forget those with full buckets."""
        now = self._clock()
        for name, account in list(self._accounts.items()):
            idle = now - account.used_at
            if idle < _IDLE_SECONDS or account.asked:
                continue
            if account.held:
                self._ask(name, account)
            elif now > account.closed_until and idle > account.fills_in:
                del self._accounts[name]

    def _settlement(self, name: str, now: float) -> _Settlement:
        """What to say to Redis about a client: all of a quiet one's lease goes back."""
        account = self._accounts[name]
        if account.used_at < now - _IDLE_SECONDS or not now:
            spent, account.held = -account.held, min(0, account.held)
            return _Settlement(name, account, spent, 0)
        return _Settlement(
            name, account, max(0, -account.held), account.share - max(0, account.held)
        )

    async def _exchange(self, settlements: list[_Settlement]) -> None:
        """Charge debts, give back leases and fetch new ones; with none, see if Redis answers."""
        try:
            answers = await self._send(settlements)
        except (RedisError, OSError) as error:
            if not self._away:
                _log.error("rate limits not shared", extra={"reason": type(error).__name__})
            self._away = True
            for each in settlements:
                each.account.asked = False
            return
        if self._away:
            _log.info("rate limits shared again")
        self._away = False
        now = self._clock()
        for each, (granted, wait) in zip(settlements, answers, strict=True):
            each.account.held += max(0, each.spent) + int(granted)
            each.account.closed_until = 0.0 if granted else now + float(wait)
            each.account.asked = False

    async def _send(self, settlements: list[_Settlement]) -> list[Any]:
        if not settlements:
            await self._redis.ping()
            return []
        async with self._redis.pipeline(transaction=False) as pipeline:
            for each in settlements:
                rate = each.account.rate
                name = hashlib.sha256(each.name.encode()).hexdigest()  # it may be a person's
                await self._settle(
                    keys=[_PREFIX + name],
                    args=[rate.per_minute / 60, rate.burst, each.spent, each.wanted],
                    client=pipeline,
                )
            return list(await pipeline.execute())
