"""Traces: a `predict` span with its stages for each sampled request, written by hand.

A request that is not sampled costs a look at its `traceparent` and a random number. The spans of a
sampled one are kept as plain values; a thread makes OpenTelemetry's of them and sends them by
OTLP/HTTP. OpenTelemetry is imported only where `OTEL_EXPORTER_OTLP_ENDPOINT` is set; its standard
variables hold (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/).
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from random import getrandbits, random
from typing import TYPE_CHECKING, NamedTuple, Protocol

from inference_server.observability.series import Counter
from inference_server.observability.trace_export import Exporter

if TYPE_CHECKING:
    from inference_server.models.model import Model

Value = str | int | float | bool

# https://www.w3.org/TR/trace-context/#traceparent-header; a later version may have more fields
_PARENT = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")
_SAMPLED = 1


class Traced(Protocol):
    """What a trace needs to know of a request."""

    endpoint: str
    path: str
    headers: Mapping[bytes, bytes]
    start: float
    request_id: bytes


class Parent(NamedTuple):
    """The span that a request is part of, elsewhere."""

    trace_id: int
    span_id: int
    sampled: bool
    state: bytes


class Child(NamedTuple):
    """A part of a request."""

    name: str
    start: float
    end: float
    attributes: Mapping[str, Value]


@dataclass(slots=True)
class Span:
    """One sampled request; times are those of `time.perf_counter()`."""

    exporter: Exporter
    call: Traced
    trace: int
    parent: Parent | None
    epoch: float = field(default_factory=lambda: time.time() - time.perf_counter())
    attributes: dict[str, Value] = field(default_factory=dict)
    children: list[Child] = field(default_factory=list)
    status: int = 0
    ended: float = 0.0

    @property
    def trace_id(self) -> str:
        """32 hexadecimal digits."""
        return f"{self.trace:032x}"

    def child(self, name: str, start: float, end: float, **attributes: Value) -> None:
        """A part of the request that took from `start` to `end`."""
        self.children.append(Child(name, start, end, attributes))

    def stages(self, model: Model, read: float, queued: float, ran: float, rows: int) -> None:
        """The parts of an inference that was read by the time `read` and has just come back.

        It waited `queued` seconds and ran `ran`, in a batch of so many rows.
        """
        begun = read + queued
        self.child("preprocess", self.call.start, read)
        self.child("queue", read, begun)
        self.child("inference", begun, begun + ran, **{"inference.batch_rows": rows})
        self.child("postprocess", begun + ran, time.perf_counter())
        self.attributes["model.name"] = model.name
        self.attributes["model.version"] = str(model.version)
        self.attributes["model_id"] = model.name
        self.attributes["inference_time_ms"] = ran * 1000
        self.attributes["inference.batch_rows"] = rows

    def end(self, status: int, **attributes: Value) -> None:
        """The request has been answered; the span goes out in the background."""
        self.ended = time.perf_counter()
        self.status = status
        self.attributes.update(attributes)
        self.exporter.put(self)


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


def _parse(header: bytes, state: bytes) -> Parent | None:
    match = _PARENT.fullmatch(header)
    if match is None or (header[:2] == b"00" and len(header) != 55):
        return None
    trace, span = int(match[1], 16), int(match[2], 16)
    if not trace or not span:
        return None
    return Parent(trace, span, bool(int(match[3], 16) & _SAMPLED), state)
