"""Decides for each request who asks, whether they may, and whether too often."""

import asyncio
import logging
import math
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn, Protocol

from inference_server.errors import RequestError
from inference_server.security.client import UNLIMITED, Client, Rate, TokenError
from inference_server.security.keys import read_keys
from inference_server.security.rate_limit import LocalLimiter
from inference_server.security.watched import Watched
from inference_server.settings import Settings

if TYPE_CHECKING:
    from inference_server.security.shared_limit import SharedLimiter
    from inference_server.security.tokens import Tokens

__all__ = ["SCOPE_OF", "Client", "Guard", "model_of"]

# The scope that each kind of endpoint (the label of the metrics) needs; None: open to all.
SCOPE_OF: Mapping[str, str | None] = {
    "health": None,
    "infer": "infer",
    "predict": "infer",
    "metadata": "metadata",
    "other": "metadata",
    "metrics": "metrics",
    "admin": "admin",
}
_MODEL = re.compile(r"/(?:v1|v2|v2/repository)/models/([^/]+?)(?::predict)?(?:/.*)?", re.DOTALL)
_POLL_SECONDS = 1.0
_ANYBODY = ""  # whose bucket all share where there are no credentials
_REALM = 'Bearer realm="inference-server"'

_log = logging.getLogger(__name__)


def model_of(path: str) -> str | None:
    """The model that a path names, for the right to use it; None where it names none."""
    match = _MODEL.fullmatch(path)
    return None if match is None else match[1]


class Refreshed(Protocol):
    """Something read from outside that may change."""

    def refresh(self, forced: bool) -> None:
        """Look for news; called in a thread about once a second."""


class Guard:
    """Credentials, scopes and limits of one process."""

    def __init__(self, settings: Settings) -> None:
        """Raises KeyFileError."""
        path = settings.api_key_hashes_file
        self._keys = None if path is None else Watched(path, read_keys, "API keys")
        self._tokens = _make_tokens(settings)
        self._closed = path is not None or self._tokens is not None
        self._open = frozenset() if settings.metrics_auth else frozenset({"metrics"})
        self._missing = "no valid API key" if self._tokens is None else "no valid API key or token"
        local = LocalLimiter(settings.workers)
        self._shared = _make_shared(settings, local)
        self._limiter = self._shared or local
        self._rate = UNLIMITED
        if settings.rate_limit is not None:
            burst = settings.rate_limit_burst or settings.rate_limit
            self._rate = Rate(settings.rate_limit, burst)
        self._wakes: list[asyncio.Event] = []
        self._tasks: list[asyncio.Task[None]] = []

    def admit(self, headers: Mapping[bytes, bytes], scope: str, model: str | None) -> Client | None:
        """The client that asks, or None where everybody may; counts against its rate.

        `scope` is infer, metadata, metrics or admin. Raises RequestError 401 (no valid
        credential), 403 (known, but not for this scope or model) or 429 (too often). A client of
        some models only has to name one of them to infer: which model answers where none is
        named may change.
        """
        client = self._check(headers, scope, model)
        if scope == "metrics":
            return client
        if client is not None:
            self._limit(client.id, client.rate or self._rate)
        else:
            self._limit(_ANYBODY, self._rate)
        return client

    def check(self, headers: Mapping[bytes, bytes], scope: str, model: str | None) -> None:
        """Look before a body is read, without counting; RequestError 401 or 403 that closes."""
        try:
            self._check(headers, scope, model)
        except RequestError as error:
            # Closing saves reading the rest of a body that nobody wants.
            closing = {**(error.headers or {}), "Connection": "close"}
            raise RequestError(error.status, error.message, closing) from None

    def _check(
        self, headers: Mapping[bytes, bytes], scope: str, model: str | None
    ) -> Client | None:
        if not self._closed or scope in self._open:
            return None
        client = self._identify(headers)
        if scope not in client.scopes:
            _refuse_scope(scope)
        if client.models is not None and not _covers(client.models, scope, model):
            raise RequestError(403, "this client may not use this model")
        return client

    def _limit(self, client: str, rate: Rate) -> None:
        if rate is UNLIMITED:
            return
        wait = self._limiter.take(client, rate)
        if wait > 0:
            seconds = math.ceil(wait)
            window = math.ceil(60 * rate.burst / rate.per_minute)
            raise RequestError(
                429,
                "too many requests",
                {
                    "Retry-After": str(seconds),
                    # draft-ietf-httpapi-ratelimit-headers-10
                    "RateLimit-Policy": f'"default";q={rate.burst};w={window}',
                    "RateLimit": f'"default";r=0;t={seconds}',
                },
            )

    def _identify(self, headers: Mapping[bytes, bytes]) -> Client:
        """The owner of the API key or token; X-API-Key goes before Authorization."""
        key = headers.get(b"x-api-key")
        token = b""
        if key is None:
            scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer":
                key = b""
            key = token = key.strip()
        if key and self._keys is not None:
            client = self._keys.value.owner(key)
            if client is not None:
                return client
        reason = self._missing
        if self._tokens is not None and token.count(b".") == 2:
            try:
                return self._tokens.client(token)
            except TokenError as error:
                reason = str(error)
        challenge = f'{_REALM}, error="invalid_token", error_description="{reason}"'
        raise RequestError(401, reason, {"WWW-Authenticate": challenge if key else _REALM})

    def reload(self) -> None:
        """Read keys again soon, changed or not; call it in the event loop."""
        for wake in self._wakes:
            wake.set()

    async def start(self) -> None:
        """Begin to watch for changes; keys at a URL are fetched first, where that works."""
        if self._shared is not None:
            await self._shared.start()
        sources: list[Refreshed] = [] if self._keys is None else [self._keys]
        if self._tokens is not None:
            sources += self._tokens.sources
        await asyncio.gather(*(asyncio.to_thread(each.refresh, False) for each in sources))
        for source in sources:
            wake = asyncio.Event()
            self._wakes.append(wake)
            self._tasks.append(asyncio.create_task(_watch(source, wake)))

    async def stop(self) -> None:
        """End what `start` began."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self._wakes.clear()
        if self._shared is not None:
            await self._shared.stop()


# The libraries of tokens and of Redis take 40 MB of each worker: only where they are used.


def _make_tokens(settings: Settings) -> "Tokens | None":
    if settings.jwt_jwks is None and settings.jwt_secret_file is None:
        return None
    from inference_server.security.tokens import Tokens

    return Tokens(settings)


def _make_shared(settings: Settings, local: LocalLimiter) -> "SharedLimiter | None":
    if settings.rate_limit_redis_url is None:
        return None
    from inference_server.security.shared_limit import SharedLimiter

    url = settings.rate_limit_redis_url.get_secret_value()
    return SharedLimiter(url, settings.rate_limit_redis_away, local)


async def _watch(source: Refreshed, wake: asyncio.Event) -> None:
    while True:
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await wake.wait()
        except TimeoutError:
            pass
        forced = wake.is_set()
        wake.clear()
        try:
            await asyncio.to_thread(source.refresh, forced)
        except Exception:  # a watch that ended would never see the next change
            _log.exception("keys not looked at")


def _covers(models: frozenset[str], scope: str, model: str | None) -> bool:
    return scope != "infer" if model is None else model in models


def _refuse_scope(scope: str) -> NoReturn:
    challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
    raise RequestError(403, f"this needs the scope {scope}", {"WWW-Authenticate": challenge})
