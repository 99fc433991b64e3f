"""Sends spans to a collector by OTLP/HTTP, from a thread of its own.

OpenTelemetry is imported only where a collector is named.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from random import getrandbits
from typing import TYPE_CHECKING

from inference_server.observability.series import Counter

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext

    from inference_server.observability.traces import Span

_BATCH = 512
_SAMPLED = 1
_PROTOCOL = "http/protobuf"

_log = logging.getLogger(__name__)


class Exporter:
    """A bounded queue of spans and the thread that sends them; what finds no room is counted."""

    def __init__(
        self,
        exporter: SpanExporter,
        resource: Resource,
        dropped: Counter,
        exported: Counter | None = None,
        *,
        room: int = 2048,
        delay: float = 5,
    ) -> None:
        self._exporter = exporter
        self._resource = resource
        self._dropped = dropped
        self._exported = exported
        self._room = room
        self._delay = delay
        self._waiting: deque[Span] = deque()
        self._wake = threading.Event()
        self._closing = False
        self._thread = threading.Thread(target=self._send, name="traces", daemon=True)
        self._thread.start()

    @classmethod
    def from_environment(cls, dropped: Counter, exported: Counter | None = None) -> Exporter | None:
        """The exporter to the collector that the environment names; None where it names none."""
        given = os.environ.get
        endpoint = given("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT") or given(
            "OTEL_EXPORTER_OTLP_ENDPOINT"
        )
        off = given("OTEL_SDK_DISABLED", "").lower() == "true"
        if not endpoint or off or given("OTEL_TRACES_EXPORTER", "otlp") != "otlp":
            return None
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource

        resource = Resource.create()
        if str(resource.attributes[SERVICE_NAME]).startswith("unknown_service"):
            resource = resource.merge(Resource({SERVICE_NAME: "inference-server"}))
        if given("OTEL_EXPORTER_OTLP_PROTOCOL", _PROTOCOL) != _PROTOCOL:
            _log.warning("traces go out by %s only", _PROTOCOL)
        room = _number("OTEL_BSP_MAX_QUEUE_SIZE", 2048)
        delay = _number("OTEL_BSP_SCHEDULE_DELAY", 5000) / 1000
        return cls(OTLPSpanExporter(), resource, dropped, exported, room=room, delay=delay)

    def put(self, span: Span) -> None:
        """Take a span, or count it as dropped."""
        if len(self._waiting) >= self._room or self._closing:
            self._dropped.inc(1 + len(span.children))
            return
        self._waiting.append(span)
        if len(self._waiting) == min(_BATCH, self._room):
            self._wake.set()

    def close(self, seconds: float) -> None:
        """Send what is waiting, for so long at most; the rest is dropped."""
        self._closing = True
        self._wake.set()
        self._thread.join(seconds)
        self._exporter.shutdown()

    def _send(self) -> None:
        while not self._closing or self._waiting:
            self._wake.wait(self._delay)
            self._wake.clear()
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                self._export([each for span in taken for each in _spans(span, self._resource)])

    def _export(self, spans: Sequence[ReadableSpan]) -> None:
        from opentelemetry.sdk.trace.export import SpanExportResult

        try:
            sent = self._exporter.export(spans) is SpanExportResult.SUCCESS
        except Exception:  # whatever it is, the next batch shall be tried
            _log.exception("spans could not be exported")
            sent = False
        if not sent:
            self._dropped.inc(len(spans))
        elif self._exported is not None:
            self._exported.inc(len(spans))


def _number(name: str, otherwise: int) -> int:
    """A positive number from the environment; anything else is warned of and not taken."""
    text = os.environ.get(name, "").strip() or str(otherwise)
    if text.isdecimal() and int(text) > 0:
        return int(text)
    _log.warning("%s is no positive number: taking %d", name, otherwise)
    return otherwise


def _spans(span: Span, resource: Resource) -> list[ReadableSpan]:
    """OpenTelemetry's form of a request and its parts."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
    from opentelemetry.trace.span import TraceState
    from opentelemetry.trace.status import Status, StatusCode

    parent = span.parent
    header = parent.state.decode("latin-1") if parent else ""
    state = TraceState.from_header([header]) if header else TraceState()
    scope = InstrumentationScope("inference_server")

    def context(number: int, *, remote: bool = False) -> SpanContext:
        return SpanContext(span.trace, number, remote, TraceFlags(_SAMPLED), state)

    def moment(at: float) -> int:
        return int((span.epoch + at) * 1e9)

    own = context(getrandbits(64) or 1)
    attributes = {
        "http.request.method": "POST",
        "http.response.status_code": span.status,
        "url.path": span.call.path,
        "request_id": span.call.request_id.decode("latin-1"),
        **span.attributes,
    }
    made = [
        ReadableSpan(
            "predict",
            own,
            context(parent.span_id, remote=True) if parent else None,
            resource,
            attributes,
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR if span.status >= 500 else StatusCode.UNSET),
            start_time=moment(span.call.start),
            end_time=moment(span.ended),
            instrumentation_scope=scope,
        )
    ]
    made.extend(
        ReadableSpan(
            child.name,
            context(getrandbits(64) or 1),
            own,
            resource,
            child.attributes,
            start_time=moment(child.start),
            end_time=moment(child.end),
            instrumentation_scope=scope,
        )
        for child in span.children
    )
    return made
