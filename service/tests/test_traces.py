"""Traces, as a collector receives them."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import SimpleNamespace
from typing import Any

import pytest
from inference_server.observability.metrics import Metrics
from inference_server.observability.traces import Tracer, trace_id_of
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span as ProtoSpan

from .conftest import wait_until

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
MODEL: Any = SimpleNamespace(name="flowers", version=3)


@dataclass
class Call:
    headers: dict[bytes, bytes] = field(default_factory=dict)
    endpoint: str = "infer"
    path: str = "/v2/models/flowers/infer"
    request_id: bytes = b"request-1"
    start: float = field(default_factory=time.perf_counter)


def sent(flags: str = "01", trace: str = TRACE, parent: str = PARENT) -> Call:
    return Call({b"traceparent": f"00-{trace}-{parent}-{flags}".encode(), b"tracestate": b"a=1"})


class Collector:
    """An OTLP/HTTP receiver; `answer` is the status it answers with, None hangs."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.answer: int | None = 200
        self.released = threading.Event()
        collector = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                if collector.answer is None:
                    collector.released.wait(30)
                elif collector.answer == 200:
                    assert self.path == "/v1/traces"
                    collector.requests.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(collector.answer or 200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=[0.02], daemon=True).start()

    @property
    def spans(self) -> list[ProtoSpan]:
        return [
            span
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    @property
    def resource(self) -> dict[str, Any]:
        return attributes(self.requests[0].resource_spans[0].resource)

    def close(self) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()


def attributes(holder: Any) -> dict[str, Any]:
    return {
        each.key: getattr(each.value, each.value.WhichOneof("value")) for each in holder.attributes
    }


@pytest.fixture
def collector(monkeypatch: pytest.MonkeyPatch) -> Iterator[Collector]:
    for name in ("SDK_DISABLED", "TRACES_SAMPLER", "TRACES_SAMPLER_ARG", "SERVICE_NAME"):
        monkeypatch.delenv(f"OTEL_{name}", raising=False)
    collector = Collector()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.url)
    yield collector
    collector.close()


Make = Callable[..., Tracer]


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def make(collector: Collector, metrics: Metrics) -> Iterator[Make]:
    made: list[Tracer] = []

    def make(rate: float = 1) -> Tracer:
        made.append(Tracer.from_environment(rate, metrics.spans_dropped, metrics.spans_exported))
        return made[-1]

    yield make
    collector.released.set()
    for tracer in made:
        tracer.close(1)


def answer(tracer: Tracer, call: Call, status: int = 200) -> None:
    span = tracer.begin(call)
    if span is not None:
        span.stages(MODEL, call.start + 0.001, 0.002, 0.004, 8)
        span.end(status)


def test_a_request_is_a_span_with_its_stages(make: Make, collector: Collector) -> None:
    tracer = make()
    before = time.time_ns()
    answer(tracer, Call())
    tracer.close()
    root, *stages = collector.spans
    assert root.name == "predict"
    assert root.kind == ProtoSpan.SPAN_KIND_SERVER
    assert not root.parent_span_id
    assert [each.name for each in stages] == ["preprocess", "queue", "inference", "postprocess"]
    assert {each.parent_span_id for each in stages} == {root.span_id}
    assert {each.trace_id for each in stages} == {root.trace_id}
    assert len({each.span_id for each in collector.spans}) == 5
    facts = attributes(root)
    assert facts["model.name"] == facts["model_id"] == "flowers"
    assert facts["model.version"] == "3"
    assert facts["inference_time_ms"] == 4.0
    assert facts["inference.batch_rows"] == 8
    assert facts["request_id"] == "request-1"
    assert facts["http.response.status_code"] == 200
    assert collector.resource["service.name"] == "inference-server"
    assert abs(root.start_time_unix_nano - before) < 5e9
    starts = [each.start_time_unix_nano - root.start_time_unix_nano for each in stages]
    assert [round(start / 1e6) for start in starts] == [0, 1, 3, 7]


def test_a_sampled_parent_is_continued(make: Make, collector: Collector) -> None:
    tracer = make(rate=0)
    span = tracer.begin(sent("01"))
    assert span is not None
    assert span.trace_id == TRACE
    span.end(200)
    tracer.close()
    (root,) = collector.spans
    assert root.trace_id.hex() == TRACE
    assert root.parent_span_id.hex() == PARENT
    assert root.trace_state == "a=1"


def test_a_parent_that_is_not_sampled_is_obeyed(make: Make) -> None:
    tracer = make(rate=1)
    assert tracer.begin(sent("00")) is None
    assert tracer.begin(sent("02")) is None
    assert tracer.begin(sent("03")) is not None


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"nonsense",
        b"00-" + b"0" * 32 + b"-" + PARENT.encode() + b"-01",
        b"00-" + TRACE.encode() + b"-" + b"0" * 16 + b"-01",
        b"ff-" + TRACE.encode() + b"-" + PARENT.encode() + b"-01",
        b"00-" + TRACE.upper().encode() + b"-" + PARENT.encode() + b"-01",
        b"00-" + TRACE.encode() + b"-" + PARENT.encode() + b"-01-more",
    ],
)
def test_a_parent_that_is_none_starts_a_new_trace(make: Make, header: bytes) -> None:
    span = make().begin(Call({b"traceparent": header}))
    assert span is not None
    assert span.trace_id != TRACE
    assert trace_id_of({b"traceparent": header}) is None


def test_a_later_version_of_the_header_is_understood() -> None:
    header = f"01-{TRACE}-{PARENT}-01-more".encode()
    assert trace_id_of({b"traceparent": header}) == TRACE


def test_without_a_parent_the_rate_decides(make: Make) -> None:
    tracer = make(rate=0.25)
    taken = sum(tracer.begin(Call()) is not None for _ in range(4000))
    assert 800 < taken < 1200


@pytest.mark.parametrize(
    ("sampler", "argument", "expected"),
    [
        ("always_on", "", (True, True)),
        ("always_off", "", (False, False)),
        ("traceidratio", "0", (False, False)),
        ("parentbased_always_on", "", (True, False)),
        ("parentbased_traceidratio", "1", (True, False)),
    ],
)
def test_the_standard_sampler_variables_hold(
    make: Make,
    monkeypatch: pytest.MonkeyPatch,
    sampler: str,
    argument: str,
    expected: tuple[bool, bool],
) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", sampler)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", argument)
    tracer = make(rate=0.5)
    found = tracer.begin(Call()) is not None, tracer.begin(sent("00")) is not None
    assert found == expected


def test_the_service_name_of_the_environment_holds(
    make: Make, collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SERVICE_NAME", "flowers-canary")
    tracer = make()
    answer(tracer, Call())
    tracer.close()
    assert collector.resource["service.name"] == "flowers-canary"


def test_an_answer_of_our_own_fault_is_an_error(make: Make, collector: Collector) -> None:
    tracer = make()
    for status in (404, 500):
        answer(tracer, Call(), status)
    tracer.close()
    roots = [span for span in collector.spans if span.name == "predict"]
    assert [span.status.code for span in roots] == [0, 2]


def test_nothing_is_traced_without_a_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    tracer = Tracer.from_environment(1, Metrics().spans_dropped)
    assert tracer.begin(sent("01")) is None
    tracer.close()


def test_nothing_is_traced_where_the_sdk_is_disabled(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    assert make().begin(sent("01")) is None


def test_what_finds_no_room_is_counted_and_no_request_waits(
    make: Make, collector: Collector, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", "10")
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    collector.answer = None
    tracer = make()
    for _ in range(40):
        answer(tracer, Call())
    assert metrics.spans_dropped.values[0] >= 5 * (40 - 20)


@pytest.mark.parametrize("wrong", ["many", "-1", "0", "1.5"])
def test_a_wrong_number_in_the_environment_is_not_taken(
    make: Make, collector: Collector, monkeypatch: pytest.MonkeyPatch, wrong: str
) -> None:
    monkeypatch.setenv("OTEL_BSP_MAX_QUEUE_SIZE", wrong)
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", wrong)
    tracer = make()
    answer(tracer, Call())
    tracer.close()
    assert len(collector.spans) == 5


def test_spans_are_sent_without_waiting_for_the_end(
    make: Make, collector: Collector, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    tracer = make()
    answer(tracer, Call())
    wait_until(lambda: len(collector.spans) == 5)
    wait_until(lambda: metrics.spans_exported.values == [5])
    assert metrics.spans_dropped.values == [0]


def test_a_collector_that_refuses_costs_its_spans_only(
    make: Make, collector: Collector, metrics: Metrics, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
    collector.answer = 400
    tracer = make()
    answer(tracer, Call())
    wait_until(lambda: metrics.spans_dropped.values == [5])
    collector.answer = 200
    answer(tracer, Call())
    wait_until(lambda: len(collector.spans) == 5)


def test_closing_does_not_wait_for_a_collector_that_hangs(make: Make, collector: Collector) -> None:
    collector.answer = None
    tracer = make()
    answer(tracer, Call())
    start = time.monotonic()
    tracer.close(0.2)
    assert time.monotonic() - start < 5
