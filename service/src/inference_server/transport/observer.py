"""ASGI middleware around everything: request id, API key, metrics, log, last-resort 500."""

import asyncio
import logging
import os
import re
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference_server.errors import error_response
from inference_server.observability.logs import Sampler
from inference_server.security.keys import KeyRing
from inference_server.state import State

CLIENT_CLOSED = 499
_OPEN = frozenset({"health", "metrics"})
_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
_TRACE_ID = re.compile(rb"[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}")

_log = logging.getLogger(__name__)


def endpoint_of(path: str) -> str:
    """The `endpoint` label of a path: what kind of request it is, never the path itself."""
    if path.startswith("/v2"):
        if path.endswith("/infer"):
            return "infer"
        if path.startswith("/v2/health/") or path.endswith("/ready"):
            return "health"
        return "admin" if path.startswith("/v2/repository") else "metadata"
    return _PATHS.get(path, "other")


_PATHS = {
    "/predict": "predict",
    "/health": "health",
    "/health/live": "health",
    "/health/ready": "health",
    "/info": "metadata",
    "/metrics": "metrics",
}


class Observer:
    """Sees each request from its first byte to its last."""

    def __init__(self, app: ASGIApp, state: State, keys: KeyRing | None) -> None:
        self._app = app
        self._state = state
        self._keys = keys
        self._sampled = Sampler(state.settings.log_sample_rate)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan events pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._state)
        metrics = self._state.metrics
        metrics.start(exchange.endpoint)
        try:
            await self._answer(exchange, scope, receive)
        except ClientDisconnect:
            exchange.status = CLIENT_CLOSED  # Starlette has tried to answer 500 to nobody
        except asyncio.CancelledError:
            metrics.leave()  # not finished: a request that a stopping process drops is an error
            raise
        except Exception:
            _log.exception("request failed", extra={"request_id": exchange.request_id.decode()})
            if not exchange.status:
                await self._refuse(exchange, receive, 500, "internal error")
        metrics.leave()
        status = exchange.status or CLIENT_CLOSED
        seconds = time.perf_counter() - exchange.start
        metrics.finish(scope["method"], exchange.endpoint, status, seconds)
        if self._sampled() or (status >= 500 and exchange.endpoint != "health"):
            exchange.log(status, seconds)

    async def _answer(self, exchange: "_Exchange", scope: Scope, receive: Receive) -> None:
        if self._keys is not None and exchange.endpoint not in _OPEN:
            exchange.client = self._keys.client(exchange.key())
            if exchange.client is None:
                await self._refuse(exchange, receive, 401, "no valid API key")
                return
        await self._app(scope, receive, exchange.send)

    @staticmethod
    async def _refuse(exchange: "_Exchange", receive: Receive, status: int, message: str) -> None:
        headers = {"WWW-Authenticate": "Bearer"} if status == 401 else None
        response = error_response(exchange.scope["path"], status, message, headers)
        await response(exchange.scope, receive, exchange.send)


class _Exchange:
    """One request and what became of it."""

    def __init__(self, scope: Scope, send: Send, state: State) -> None:
        self.start = time.perf_counter()
        self.scope = scope
        self.endpoint = endpoint_of(scope["path"])
        self.status = 0
        self.client: str | None = None
        self._send = send
        self._state = state
        given = self._header(b"x-request-id")
        self.request_id = (
            given if given and _REQUEST_ID.fullmatch(given) else os.urandom(16).hex().encode()
        )

    def _header(self, name: bytes) -> bytes | None:
        for key, value in self.scope["headers"]:
            if key == name:
                return bytes(value)
        return None

    def key(self) -> bytes:
        """The API key: X-API-Key, or a bearer token."""
        key = self._header(b"x-api-key")
        if key is not None:
            return key
        scheme, _, token = (self._header(b"authorization") or b"").partition(b" ")
        return token.strip() if scheme.lower() == b"bearer" else b""

    async def send(self, message: Message) -> None:
        """Pass a message on; the response's start gets the request id."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = [*message["headers"], (b"x-request-id", self.request_id)]
            if self._state.draining:
                headers.append((b"connection", b"close"))  # the next request goes elsewhere
            message["headers"] = headers
        await self._send(message)

    def log(self, status: int, seconds: float) -> None:
        """One line about this request; no body, no query, no address."""
        extra = {
            "request_id": self.request_id.decode(),
            "method": self.scope["method"],
            "endpoint": self.endpoint,
            "status": status,
            "duration_ms": round(seconds * 1000, 3),
        }
        if self.client is not None:
            extra["client"] = self.client
        if length := self._header(b"content-length"):
            extra["input_size"] = length.decode("latin-1")
        if trace := _TRACE_ID.fullmatch(self._header(b"traceparent") or b""):
            extra["trace_id"] = trace[1].decode()
        extra |= {f"model_{k}": v for k, v in self._model().items()}
        level = logging.ERROR if status >= 500 else logging.INFO
        _log.log(level, "request", extra=extra)

    def _model(self) -> dict[str, str]:
        parameters = self.scope.get("path_params") or {}
        names = {"model": "id", "version": "version"}
        return {names[k]: str(v) for k, v in parameters.items() if k in names}
