"""The gRPC server: in the event loop of the process, through the same pipeline as HTTP."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, TypeAlias

import grpc
from google.protobuf.message import DecodeError
from starlette.types import ASGIApp

from inference_server.errors import RequestError, error_answer
from inference_server.grpc_api import infer
from inference_server.grpc_api.endpoints import SERVICES, Method, ask
from inference_server.grpc_api.status import refusal, trailing
from inference_server.inference.call import Answer, Call
from inference_server.settings import Settings

if TYPE_CHECKING:
    from inference_server.inference.pipeline import Pipeline

Context: TypeAlias = grpc.aio.ServicerContext
Handler = Callable[[bytes, Context], Awaitable[bytes]]

# Of HTTP, these would say something about a body that gRPC frames and compresses itself.
_NOT_OURS = frozenset({"content-encoding", "content-type", "content-length", "transfer-encoding"})
_INFERENCE = "inference.GRPCInferenceService"
_PATH = "/v2"  # errors in the protocol's own form
_STREAMS = 1024
_METADATA_BYTES = 16 * 1024
_MINUTE = 60_000  # milliseconds

_log = logging.getLogger(__name__)


class GrpcServer:
    """Answers gRPC beside HTTP; every method belongs to the event loop's thread."""

    def __init__(self, settings: Settings, pipeline: Pipeline, application: ASGIApp) -> None:
        """Take GRPC_PORT; raises RuntimeError. `application` has the REST endpoints."""
        self._pipeline = pipeline
        self._application = application
        self._grace = settings.shutdown_seconds
        self._server = grpc.aio.server(options=_options(settings), maximum_concurrent_rpcs=_STREAMS)
        self._server.add_generic_rpc_handlers(tuple(self._services()))
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        self.port = self._server.add_insecure_port(f"{host}:{settings.grpc_port}")

    async def start(self) -> None:
        """Accept connections from here on."""
        await self._server.start()
        _log.info("listening for gRPC", extra={"address": f"port {self.port}"})

    async def stop(self) -> None:
        """Accept no more calls, and end when those in flight are answered."""
        await self._server.stop(self._grace)

    def _services(self) -> list[grpc.GenericRpcHandler]:
        services: dict[str, dict[str, Handler]] = {
            service: {name: partial(self._relay, method) for name, method in methods.items()}
            for service, methods in SERVICES.items()
        }
        services[_INFERENCE]["ModelInfer"] = self._infer
        return [
            grpc.method_handlers_generic_handler(
                service,
                {name: grpc.unary_unary_rpc_method_handler(each) for name, each in methods.items()},
            )
            for service, methods in services.items()
        ]

    async def _infer(self, body: bytes, context: Context) -> bytes:
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()

        def reply(given: Answer) -> bool:
            if answer.done():  # cancelled: the client left, or its deadline is over
                return False
            answer.set_result(given)
            return True

        request, wrong = infer.parse(body)
        read, model, version = infer.Reader(request), request.model_name, request.model_version
        headers = _headers(context)
        call = Call("infer", _PATH, read, model or None, version or None, headers, body, reply)
        if wrong is None:
            self._pipeline.answer(call)
        else:
            self._pipeline.refuse(call, wrong)
        try:
            status, given, content = await answer
        except asyncio.CancelledError:
            if call.cancel is not None:
                call.cancel()  # nobody waits for what is queued
            raise
        given = [*given, (b"x-request-id", call.request_id)]
        return await _deliver(context, Answer(status, given, content))

    async def _relay(self, method: Method, body: bytes, context: Context) -> bytes:
        """Answer by the REST endpoint of the same meaning."""
        try:
            request = method.request.FromString(body)
            asked = method.ask(request)
        except DecodeError:
            wrong = RequestError(400, f"the message is no {method.request.DESCRIPTOR.name}")
            return await _deliver(context, error_answer(_PATH, wrong))
        except RequestError as error:
            return await _deliver(context, error_answer(_PATH, error))
        answer = await ask(self._application, *asked, _headers(context))
        if answer.status not in method.statuses:
            return await _deliver(context, answer)
        content: bytes = method.write(request, answer).SerializeToString()
        return await _deliver(context, Answer(200, answer.headers, content))


@asynccontextmanager
async def serving(
    settings: Settings, pipeline: Pipeline, application: ASGIApp, loaded: asyncio.Future[None]
) -> AsyncIterator[None]:
    """Serve gRPC while entered; one of several workers does so when its models are `loaded`.

    The kernel shares connections out among the workers, and does not know which are ready.
    """

    async def start() -> GrpcServer:
        if settings.workers > 1:
            await asyncio.wait([loaded])
        server = GrpcServer(settings, pipeline, application)
        await server.start()
        return server

    starting = asyncio.create_task(start())
    starting.add_done_callback(_report)
    if settings.workers == 1:
        await starting
    try:
        yield
    finally:
        starting.cancel()
        (server,) = await asyncio.gather(starting, return_exceptions=True)
        if isinstance(server, GrpcServer):
            await server.stop()


def _report(starting: asyncio.Task[GrpcServer]) -> None:
    if not starting.cancelled() and starting.exception() is not None:
        _log.error("no gRPC", extra={"reason": str(starting.exception())})


def _options(settings: Settings) -> list[tuple[str, int]]:
    """Bounds on what one client may hold; workers share the port."""
    return [
        ("grpc.so_reuseport", int(settings.workers > 1)),
        ("grpc.max_receive_message_length", settings.max_body_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.max_concurrent_streams", _STREAMS),
        ("grpc.max_metadata_size", _METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", _METADATA_BYTES),
        ("grpc.keepalive_time_ms", _MINUTE),
        ("grpc.keepalive_timeout_ms", _MINUTE // 3),
        ("grpc.http2.min_ping_interval_without_data_ms", _MINUTE // 6),
        ("grpc.max_connection_idle_ms", 5 * _MINUTE),
    ]


def _headers(context: Context) -> dict[bytes, bytes]:
    """Metadata as headers; the client's deadline becomes the one that HTTP clients send."""
    headers: dict[bytes, bytes] = {}
    for name, value in context.invocation_metadata() or ():
        if name not in _NOT_OURS:
            headers[name.encode()] = value.encode() if isinstance(value, str) else value
    remaining = context.time_remaining()
    if remaining is not None:
        headers[b"x-request-timeout-ms"] = b"%d" % min(ceil(remaining * 1000), 10**9 - 1)
    return headers


async def _deliver(context: Context, answer: Answer) -> bytes:
    """The body of an answer with its headers behind it, or the end of the call by its status."""
    if answer.status == 200:
        context.set_trailing_metadata(trailing(answer))
        return answer.body
    code, message, metadata = refusal(answer)
    await context.abort(code, message, metadata)
    raise AssertionError("abort raises")
