"""One HTTP connection: inferences in the fast lane, everything else as uvicorn does it.

An inference needs no scope, no task and no router: its body goes straight to the pipeline, and the
answer back in one write. Whatever is unusual about a request (chunks, compression, `Expect`,
another one pending on the connection) makes it an ASGI request like all others, with the same
pipeline at its end.
"""

from __future__ import annotations

import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from inference_server.errors import CLIENT_CLOSED, RequestError, error_answer, title
from inference_server.inference.call import Answer, Call
from inference_server.inference.routes import Route
from inference_server.protocol.v2_binary import HEADER_LENGTH
from inference_server.transport.body import check_depth, decode
from inference_server.transport.lane import FastLane, Phase
from inference_server.transport.upload import Discard, Upload

_UNUSUAL = (b"content-encoding", b"transfer-encoding", b"expect", b"upgrade")
_STATUS_LINES = {
    status: f"HTTP/1.1 {status} {title(status)}\r\n".encode() for status in range(100, 600)
}
_NO_HTTP = error_answer("", RequestError(400, "this is no HTTP request"))
_TOO_LONG = error_answer("", RequestError(431, "the request's headers are too large"))
_SLOW = RequestError(408, "the request did not arrive in time")
_TOO_SLOW = error_answer("", _SLOW)
_LEFT = RequestError(CLIENT_CLOSED, "the client left")
_MOST_HEADERS = 128
_LARGE = 1 << 16  # bytes of a body

_log = logging.getLogger(__name__)


class _Signal:
    """Stands where uvicorn keeps an event: nobody waits for a fast answer."""

    def set(self) -> None:
        """Nothing to wake."""


class _Exchange:
    """A fast request in the place of uvicorn's cycle, so that its pipelining and shutdown work."""

    __slots__ = ("call", "disconnected", "head", "keep_alive", "response_complete", "route", "size")
    message_event = _Signal()

    def __init__(self, route: Route, keep_alive: bool, size: int, head: int | None) -> None:
        self.route = route
        self.keep_alive = keep_alive
        self.size = size  # of the body
        self.head = head  # bytes of JSON before its binary data, if there is much of that
        self.call: Call | None = None
        self.disconnected = False
        self.response_complete = False


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with a fast lane, and with limits to what a client may keep waiting."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._lane: FastLane = self.app.fast_lane
        self._fast: _Exchange | None = None
        self._running: RequestResponseCycle | None = None  # `cycle` is the last of a pipeline
        self._reading = False  # the body of `_fast`
        self._unwanted: int | None = None  # bytes to come of a body that was refused
        self._fields: dict[bytes, bytes] = {}
        self._parts: list[bytes] = []
        self._received = 0  # bytes of `_parts`
        self._head_bytes = self._chunk_bytes = 0
        self._ending = False  # nothing is read any more, what has come is still answered
        self.phase = Phase.IDLE
        self.since = self.blocked_since = self._lane.second

    def connection_made(self, transport: Any) -> None:
        """Join the connections that are watched."""
        super().connection_made(transport)
        self.since = self._lane.second
        self._lane.join(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """Leave; an answer that comes later is not written."""
        self._lane.leave(self)
        if self._fast is not None:
            self._fast.disconnected = True
            self._give_up(self._fast, _LEFT)
        if self._running is not None and not self._running.response_complete:
            self._running.disconnected = True
            self._running.message_event.set()
        self.pipeline.clear()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what has come; what is no HTTP ends the connection."""
        if self._ending:
            return
        self._chunk_bytes = len(data)
        try:
            self._feed(data)
        except httptools.HttpParserError:
            self.reject(_NO_HTTP)
            return
        if self.phase is Phase.HEAD:
            self._head_bytes += len(data)
            if self._head_bytes > self._lane.patience.head_bytes:
                self.reject(_TOO_LONG)
        elif self.phase is Phase.BODY and not (self._ending or self.transport.is_closing()):
            self._pass_the_parser()

    def _pass_the_parser(self) -> None:
        """Let the rest of a large body come by a shorter way, or go."""
        if self._unwanted:
            Discard(self, self._unwanted, self._discarded)
        elif self._reading and self._fast is not None and self._fast.head is not None:
            head, size = self._fast.head, self._fast.size
            if self._received >= head:
                self._parts = [b"".join(self._parts)]
                Upload(self, memoryview(self._parts[0])[head:], size - head, self._uploaded)

    def _uploaded(self, data: memoryview) -> None:
        assert self._fast is not None  # noqa: S101
        self._renew_parser()
        self._ask(self._parts[0][: self._fast.head], data)

    def _discarded(self) -> None:
        self._renew_parser()
        self._forget_body()

    def _forget_body(self) -> None:
        self._unwanted = None
        self.phase = Phase.IDLE
        self.since = self._lane.second

    def _renew_parser(self) -> None:
        """A parser that expects a request, whatever the last one has not seen the end of."""
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does

    def _feed(self, data: bytes) -> None:
        """Parse; a request for an upgrade is read again without it, as RFC 9110 allows.

        The parser would take the request's body for what the other protocol says.
        """
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            if not self._upgrades():
                return  # CONNECT, which has no body
            version = self.parser.get_http_version().encode()
            parts = [b"%b %b HTTP/%b\r\n" % (self.parser.get_method(), self.url, version)]
            parts += [b"%b: %b\r\n" % each for each in self.headers if each[0] != b"upgrade"]
            self._renew_parser()
            self._feed(b"".join([*parts, b"\r\n", data[upgrade.args[0] :]]))

    def _upgrades(self) -> bool:
        return self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"

    def reject(self, answer: Answer) -> None:
        """Answer what is no request, unless earlier ones have yet to be answered, and close."""
        if self.transport.is_closing():
            return
        answered = self.cycle is None or self.cycle.response_complete
        if self.pipeline or not (answered or self.phase is Phase.BODY):
            self._ending = True
            self.flow.pause_reading()
            return
        self.transport.write(self._render(answer, None, keep_alive=False))
        self.transport.close()

    def expire(self) -> None:
        """Give up waiting for the rest of a request."""
        if self._unwanted is not None:
            self.transport.close()
            return
        if self._reading and self._fast is not None:
            self._give_up(self._fast, _SLOW)
        self.reject(_TOO_SLOW)

    def _give_up(self, exchange: _Exchange, error: RequestError) -> None:
        """Account for a fast request that nobody will hear the answer of."""
        if exchange.call is None:
            exchange.keep_alive = False
            self._lane.pipeline.refuse(self._make_call(exchange, b""), error)
        elif exchange.call.cancel is not None:
            exchange.call.cancel()

    def on_message_begin(self) -> None:
        """Start a request; the scope is made only where ASGI needs it."""
        self.phase = Phase.HEAD
        self.since = self._lane.second
        self._head_bytes = 0
        self.url = b""
        self.expect_100_continue = False
        self.headers = []

    def on_headers_complete(self) -> None:
        """Choose the lane of the request."""
        self._require_short_head()
        if self._upgrades():
            return
        self.phase = Phase.BODY
        if self._fast is None and (self.cycle is None or self.cycle.response_complete):
            route = self._fast_route()
            if route is not None:
                self._begin(route)
                return
        url, headers, expects = self.url, self.headers, self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expects
        self.headers += headers
        super().on_headers_complete()

    def _begin(self, route: Route) -> None:
        keep_alive = self.parser.should_keep_alive()
        if keep_alive and b"connection" in self._fields:
            keep_alive = self.parser.get_http_version() != "1.0"
        size, head = int(self._fields[b"content-length"]), None
        if size >= _LARGE and route.endpoint == "infer":
            given = self._fields.get(HEADER_LENGTH, b"")
            if given.isdigit() and len(given) < len(b"%d" % size):
                head = int(given)
        exchange = self._fast = _Exchange(route, keep_alive, size, head)
        self.cycle = exchange  # type: ignore[assignment]
        self._reading = True
        self._parts = []
        self._received = 0
        if size >= _LARGE and keep_alive and not self._lane.draining:
            if self._lane.pipeline.refuse_crowd(self._make_call(exchange, b"")):
                self._reading = False
                self._unwanted = size
            exchange.call = None

    def _require_short_head(self) -> None:
        """Refuse headers that came in one piece and are too long; raising stops the parser."""
        limit = self._lane.patience.head_bytes
        if self._head_bytes + self._chunk_bytes <= limit and len(self.headers) <= _MOST_HEADERS:
            return
        size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
        if size > limit or len(self.headers) > _MOST_HEADERS:
            self.reject(_TOO_LONG)
            raise ValueError("the head is too long")

    def _fast_route(self) -> Route | None:
        if self.parser.get_method() != b"POST":
            return None
        route = self._lane.routes.match(self.url)
        if route is None:
            return None
        fields = self._fields = dict(self.headers)
        length = fields.get(b"content-length", b"")
        if not length.isdigit() or int(length) > self._lane.body_limits.size:
            return None
        if any(name in fields for name in _UNUSUAL):
            return None
        return route if int(length) < _LARGE or self._may_infer(route) else None

    def _may_infer(self, route: Route) -> bool:
        """A look before a large body is read; what it refuses, ASGI's way answers."""
        try:
            self._lane.guard.check(self._fields, "infer", route.model)
        except RequestError:
            return False
        return True

    def on_body(self, body: bytes) -> None:
        """Collect the body."""
        if self._reading:
            self._parts.append(body)
            self._received += len(body)
        elif self._unwanted is not None:
            self._unwanted -= len(body)
        else:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """Send a fast request on its way."""
        if self._upgrades():
            return
        if self._reading:
            parts = self._parts
            self._ask(parts[0] if len(parts) == 1 else b"".join(parts))
        elif self._unwanted is not None:
            self._forget_body()
        else:
            self.phase = Phase.IDLE if self.cycle.response_complete else Phase.ANSWER
            super().on_message_complete()

    def _ask(self, body: bytes, tail: memoryview | None = None) -> None:
        self.phase = Phase.ANSWER
        self._reading = False
        self._parts = []
        exchange = self._fast
        assert exchange is not None  # noqa: S101
        call = self._make_call(exchange, body)
        call.tail = tail
        try:
            if tail is None:
                decode(body, self._fields, self._lane.body_limits)
            else:
                check_depth(body, self._lane.body_limits)
        except RequestError as error:
            self._lane.pipeline.refuse(call, error)
        else:
            self._lane.pipeline.answer(call)

    def _make_call(self, exchange: _Exchange, body: bytes) -> Call:
        exchange.call = exchange.route.call(self._fields, body, self._reply)
        return exchange.call

    def _reply(self, answer: Answer) -> bool:
        """Write the answer of the fast request; False if the client has left."""
        exchange = self._fast
        assert exchange is not None  # noqa: S101
        self._fast = None
        exchange.response_complete = True
        call, exchange.call = exchange.call, None  # the connection keeps its last exchange
        if exchange.disconnected or self.transport.is_closing():
            return False
        keep_alive = exchange.keep_alive and not self._lane.draining
        self.transport.write(self._render(answer, call, keep_alive))
        if keep_alive:
            self.on_response_complete()
        else:
            self.transport.close()
        return True

    def _render(self, answer: Answer, call: Call | None, keep_alive: bool) -> bytes:
        status, headers, body = answer
        parts = [
            _STATUS_LINES[status],
            self._lane.standard_headers(self.server_state.default_headers),
            b"content-length: %d\r\n" % len(body),
        ]
        parts += [b"%b: %b\r\n" % header for header in headers]
        if call is not None:
            parts.append(b"x-request-id: %b\r\n" % call.request_id)
        parts.append(b"\r\n" if keep_alive else b"connection: close\r\n\r\n")
        parts.append(body)
        return b"".join(parts)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Wait for the next request, or start the one that has come meanwhile."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline and not (self._ending and self.pipeline[-1][0].more_body):
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif self._ending:
            self.transport.close()
        elif self.phase is Phase.ANSWER:
            self.phase = Phase.IDLE
            self.since = self._lane.second

    def pause_writing(self) -> None:
        """The client does not read: no further request of it is read."""
        super().pause_writing()
        self.blocked_since = self._lane.second
        self.flow.pause_reading()

    def resume_writing(self) -> None:
        """The client reads again."""
        super().resume_writing()
        self.flow.resume_reading()
