"""Traces: a `predict` span with its stages for each sampled request, written by hand.

A request that is not sampled costs a look at its `traceparent` and a random number. The spans of a
sampled one are kept as plain values; a thread makes OpenTelemetry's of them and sends them by
OTLP/HTTP. OpenTelemetry is imported only where `OTEL_EXPORTER_OTLP_ENDPOINT` is set; its standard
variables hold (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from random import getrandbits, random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from inference_server.observability.store import Counter

if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.trace.export import SpanExporter
    from opentelemetry.trace import SpanContext

    from inference_server.models.model import Model

Value = str | int | float | bool

# https://www.w3.org/TR/trace-context/#traceparent-header; a later version may have more fields
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = 1
_BATCH = 512

_log = logging.getLogger(__name__)


class Traced(Protocol):
    """What a trace needs to know of a request."""

    endpoint: str
    path: str
    headers: Mapping[bytes, bytes]
    start: float
    request_id: bytes


class _Parent(NamedTuple):
    trace_id: int
    span_id: int
    sampled: bool
    state: bytes


class _Child(NamedTuple):
    name: str
    start: float
    end: float
    attributes: Mapping[str, Value]


@dataclass(slots=True)
class Span:
    """One sampled request; times are those of `time.perf_counter()`."""

    _exporter: Exporter
    _call: Traced
    _trace: int
    _parent: _Parent | None
    _epoch: float = field(default_factory=lambda: time.time() - time.perf_counter())
    _attributes: dict[str, Value] = field(default_factory=dict)
    _children: list[_Child] = field(default_factory=list)
    _status: int = 0
    _end: float = 0.0

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self._trace:032x}"

    def child(self, name: str, start: float, end: float, **attributes: Value) -> None:
        """A part of the request that took from `start` to `end`."""
        self._children.append(_Child(name, start, end, attributes))

    def stages(self, model: Model, read: float, queued: float, ran: float, rows: int) -> None:
        """The parts of an inference that was read by the time `read` and has just come back.

        It waited `queued` seconds and ran `ran`, in a batch of so many rows.
        """
        begun = read + queued
        self.child("preprocess", self._call.start, read)
        self.child("queue", read, begun)
        self.child("inference", begun, begun + ran, **{"inference.batch_rows": rows})
        self.child("postprocess", begun + ran, time.perf_counter())
        self._attributes["model.name"] = model.name
        self._attributes["model.version"] = str(model.version)
        self._attributes["model_id"] = model.name
        self._attributes["inference_time_ms"] = ran * 1000
        self._attributes["inference.batch_rows"] = rows

    def end(self, status: int, **attributes: Value) -> None:
        """The request has been answered; the span goes out in the background."""
        self._end = time.perf_counter()
        self._status = status
        self._attributes.update(attributes)
        self._exporter.put(self)


class Tracer:
    """Decides which requests are traced."""

    def __init__(
        self, exporter: Exporter | None, rate: float, *, trust_parent: bool = True
    ) -> None:
        """Without an exporter nothing is traced.

        `trust_parent`: who sent a `traceparent` has decided; `rate` is for the others.
        """
        self._exporter = exporter
        self._rate = rate
        self._trust_parent = trust_parent

    @classmethod
    def from_environment(
        cls, rate: float, dropped: Counter, exported: Counter | None = None
    ) -> Tracer:
        """The tracer that the variables of OpenTelemetry ask for; `rate` where they say none."""
        name = os.environ.get("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
        parent, _, kind = name.rpartition("parentbased_")
        rate = {"always_on": 1.0, "always_off": 0.0}.get(kind, _rate_argument(rate))
        exporter = Exporter.from_environment(dropped, exported)
        return cls(exporter, rate, trust_parent="parentbased_" in name and not parent)

    def begin(self, call: Traced) -> Span | None:
        """The span of a request, or None where it is not sampled."""
        if self._exporter is None:
            return None
        header = call.headers.get(b"traceparent")
        if header is None:
            if random() >= self._rate:  # noqa: S311
                return None
            return Span(self._exporter, call, getrandbits(128) or 1, None)
        if self._trust_parent and header[53:] == b"00":
            return None
        parent = _parse(header, call.headers.get(b"tracestate", b""))
        sampled = parent.sampled if parent and self._trust_parent else random() < self._rate  # noqa: S311
        if not sampled:
            return None
        return Span(self._exporter, call, parent.trace_id if parent else getrandbits(128), parent)

    def close(self, seconds: float = 5) -> None:
        """Send what is waiting, for so long at most."""
        if self._exporter is not None:
            self._exporter.close(seconds)


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
        room = int(given("OTEL_BSP_MAX_QUEUE_SIZE", "2048"))
        delay = int(given("OTEL_BSP_SCHEDULE_DELAY", "5000")) / 1000
        return cls(OTLPSpanExporter(), resource, dropped, exported, room=room, delay=delay)

    def put(self, span: Span) -> None:
        """Take a span, or count it as dropped."""
        if len(self._waiting) >= self._room or self._closing:
            self._dropped.inc(1 + len(span._children))
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


def trace_id_of(headers: Mapping[bytes, bytes]) -> str | None:
    """The trace that a request says it is part of, sampled or not."""
    header = headers.get(b"traceparent")
    parent = _parse(header, b"") if header is not None else None
    return f"{parent.trace_id:032x}" if parent else None


def _rate_argument(rate: float) -> float:
    try:
        return min(1.0, max(0.0, float(os.environ["OTEL_TRACES_SAMPLER_ARG"])))
    except (KeyError, ValueError):
        return rate


def _parse(header: bytes, state: bytes) -> _Parent | None:
    match = _PARENT.fullmatch(header)
    if match is None or (header[:2] == b"00" and len(header) != 55):
        return None
    trace, span = int(match[1], 16), int(match[2], 16)
    if not trace or not span:
        return None
    return _Parent(trace, span, bool(int(match[3], 16) & _SAMPLED), state)


def _spans(span: Span, resource: Resource) -> list[ReadableSpan]:
    """OpenTelemetry's form of a request and its parts."""
    from opentelemetry.sdk.trace import ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, TraceFlags
    from opentelemetry.trace.span import TraceState
    from opentelemetry.trace.status import Status, StatusCode

    parent = span._parent
    header = parent.state.decode("latin-1") if parent else ""
    state = TraceState.from_header([header]) if header else TraceState()
    scope = InstrumentationScope("inference_server")

    def context(number: int, *, remote: bool = False) -> SpanContext:
        return SpanContext(span._trace, number, remote, TraceFlags(_SAMPLED), state)

    def moment(at: float) -> int:
        return int((span._epoch + at) * 1e9)

    own = context(getrandbits(64) or 1)
    attributes = {
        "http.request.method": "POST",
        "http.response.status_code": span._status,
        "url.path": span._call.path,
        "request_id": span._call.request_id.decode("latin-1"),
        **span._attributes,
    }
    made = [
        ReadableSpan(
            "predict",
            own,
            context(parent.span_id, remote=True) if parent else None,
            resource,
            attributes,
            kind=SpanKind.SERVER,
            status=Status(StatusCode.ERROR if span._status >= 500 else StatusCode.UNSET),
            start_time=moment(span._call.start),
            end_time=moment(span._end),
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
        for child in span._children
    )
    return made
