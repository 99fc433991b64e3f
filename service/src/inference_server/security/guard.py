"""Decides for each request who asks, whether they may, and whether too often."""

import asyncio
import logging
from collections.abc import Mapping
from typing import NoReturn

from inference_server.errors import RequestError
from inference_server.security.client import Client
from inference_server.security.keys import KeyFile
from inference_server.settings import Settings

__all__ = ["SCOPE_OF", "Client", "Guard"]

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
_POLL_SECONDS = 1.0
_REALM = 'Bearer realm="inference-server"'

_log = logging.getLogger(__name__)


class Guard:
    """Credentials, scopes and limits of one process."""

    def __init__(self, settings: Settings) -> None:
        """Raises KeyFileError."""
        path = settings.api_key_hashes_file
        self._keys = None if path is None else KeyFile(path)
        self._open = frozenset({"metrics"})
        self._wake = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    def admit(self, headers: Mapping[bytes, bytes], scope: str, model: str | None) -> Client | None:
        """The client that asks, or None where everybody may.

        `scope` is infer, metadata, metrics or admin. Raises RequestError 401 (no valid
        credential), 403 (known, but not for this scope or model) or 429 (too often). A client of
        some models only has to name one of them to infer: which model answers where none is
        named may change.
        """
        if self._keys is None or scope in self._open:
            return None
        client = self._identify(headers)
        if scope not in client.scopes:
            _refuse_scope(scope)
        if client.models is not None and not _covers(client.models, scope, model):
            raise RequestError(403, "this client may not use this model")
        return client

    def _identify(self, headers: Mapping[bytes, bytes]) -> Client:
        key = headers.get(b"x-api-key")
        if key is None:
            scheme, _, key = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer":
                key = b""
        client = self._keys.owner(key.strip()) if key and self._keys else None
        if client is None:
            challenge = f'{_REALM}, error="invalid_token"' if key else _REALM
            raise RequestError(401, "no valid API key", {"WWW-Authenticate": challenge})
        return client

    def reload(self) -> None:
        """Read keys again soon, changed or not; call it in the event loop."""
        self._wake.set()

    async def start(self) -> None:
        """Begin to watch for changes."""
        self._watcher = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End what `start` began."""
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.wait([self._watcher])
            self._watcher = None

    async def _watch(self) -> None:
        while True:
            forced = await self._woken()
            if self._keys is not None:
                await asyncio.to_thread(self._keys.refresh, forced)

    async def _woken(self) -> bool:
        """Whether `reload` was called, within the time between two looks."""
        try:
            async with asyncio.timeout(_POLL_SECONDS):
                await self._wake.wait()
        except TimeoutError:
            return False
        self._wake.clear()
        return True


def _covers(models: frozenset[str], scope: str, model: str | None) -> bool:
    return scope != "infer" if model is None else model in models


def _refuse_scope(scope: str) -> NoReturn:
    challenge = f'{_REALM}, error="insufficient_scope", scope="{scope}"'
    raise RequestError(403, f"this needs the scope {scope}", {"WWW-Authenticate": challenge})
