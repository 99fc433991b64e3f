"""ASGI middleware: admits, counts and logs every request that is no inference."""

import asyncio
import logging
import time

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from inference_server.errors import CLIENT_CLOSED, RequestError, error_response
from inference_server.inference.pipeline import Pipeline
from inference_server.security.audit import audit
from inference_server.security.client import Client
from inference_server.security.guard import SCOPE_OF, model_of
from inference_server.state import State
from inference_server.transport.asgi import target

_log = logging.getLogger(__name__)


def endpoint_of(path: str) -> str:
    """The `endpoint` label of a path: what kind of request it is, never the path itself."""
    if path.startswith("/v2"):
        if path.rpartition("/")[0] == "/v2/models":
            return "metadata"  # whatever the model is called
        if path.endswith("/infer"):
            return "infer"
        if path.startswith("/v2/health/") or path.endswith("/ready"):
            return "health"
        return "admin" if path.startswith("/v2/repository") else "metadata"
    if path.startswith("/v1/models"):
        return "predict" if path.endswith(":predict") else "metadata"
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
    """Sees each request from its first byte to its last; an inference is its pipeline's matter."""

    def __init__(self, app: ASGIApp, state: State) -> None:
        self._app = app
        self._state = state
        self.fast_lane = state.fast_lane

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request; lifespan events pass through."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send, self._state)
        if scope["method"] == "POST" and self.fast_lane.routes.match(target(scope)) is not None:
            await self._app(scope, receive, exchange.send)
        else:
            await self._account(exchange, endpoint_of(scope["path"]), receive)

    async def _account(self, exchange: "_Exchange", endpoint: str, receive: Receive) -> None:
        metrics = self._state.metrics
        metrics.start(endpoint)
        exchange.request_id = self._pipeline.request_id(exchange.headers)
        try:
            await self._answer(exchange, endpoint, receive)
        except ClientDisconnect:
            exchange.status = CLIENT_CLOSED  # Starlette has tried to answer 500 to nobody
        except asyncio.CancelledError:
            metrics.leave()  # not finished: a request that a stopping process drops is an error
            raise
        except Exception:
            _log.exception("request failed", extra={"request_id": exchange.request_id.decode()})
            if not exchange.status:
                await exchange.refuse(receive, RequestError(500, "internal error"))
        metrics.leave()
        status = exchange.status or CLIENT_CLOSED
        seconds = time.perf_counter() - exchange.start
        metrics.finish(exchange.scope["method"], endpoint, status, seconds)
        if endpoint == "admin":
            path = exchange.scope["path"]
            audit(exchange.client, path, model_of(path), status, exchange.request_id)

    @property
    def _pipeline(self) -> Pipeline:
        return self.fast_lane.pipeline

    async def _answer(self, exchange: "_Exchange", endpoint: str, receive: Receive) -> None:
        needed = SCOPE_OF[endpoint]
        if needed is not None:
            model = model_of(exchange.scope["path"])
            try:
                exchange.client = self._state.guard.admit(exchange.headers, needed, model)
            except RequestError as error:
                await exchange.refuse(receive, error)
                return
        await self._app(exchange.scope, receive, exchange.send)


class _Exchange:
    """One request and what became of it."""

    def __init__(self, scope: Scope, send: Send, state: State) -> None:
        self.start = time.perf_counter()
        self.scope = scope
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.status = 0
        self.request_id = b""
        self.client: Client | None = None
        self._send = send
        self._lane = state.fast_lane

    async def send(self, message: Message) -> None:
        """Pass a message on; the response's start gets the headers of every answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            given = {name.lower() for name, _ in message["headers"]}
            headers = [*message["headers"]]
            headers += [pair for pair in self._lane.security_headers if pair[0] not in given]
            if self.request_id:
                headers.append((b"x-request-id", self.request_id))
            if self._lane.draining:
                headers.append((b"connection", b"close"))  # the next request goes elsewhere
            message["headers"] = headers
        await self._send(message)

    async def refuse(self, receive: Receive, error: RequestError) -> None:
        """Answer an error in the form of the path."""
        response = error_response(self.scope["path"], error.status, error.message, error.headers)
        await response(self.scope, receive, self.send)
