"""The way of one inference: admitted, its model found, read, scheduled, written, accounted for."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Mapping
from functools import partial
from random import getrandbits
from typing import TYPE_CHECKING

from inference_server.errors import CLIENT_CLOSED, RequestError, error_answer
from inference_server.inference.call import Answer, Asked, Call
from inference_server.models.entry import Loading, Served
from inference_server.models.failures import InferenceError
from inference_server.observability.access import AccessLog
from inference_server.observability.metrics import Metrics
from inference_server.observability.prediction_log import PredictionLog
from inference_server.observability.traces import Tracer
from inference_server.scheduling.batch import Outcome
from inference_server.security.guard import Guard

if TYPE_CHECKING:
    from inference_server.models.catalog import Catalog
    from inference_server.models.model import Model

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:-]{1,128}")
# Envoy tells the time that it will wait; a client may say the same by the other name.
_TIMEOUTS = (b"x-request-timeout-ms", b"x-envoy-expected-rq-timeout-ms")
_MOST_DIGITS = 10
_FAILED = RequestError(500, "the model failed on this input")
_BROKEN = RequestError(500, "internal error")

_log = logging.getLogger(__name__)


class Pipeline:
    """Answers inferences; every method belongs to the event loop's thread."""

    def __init__(
        self,
        catalog: Catalog,
        guard: Guard,
        metrics: Metrics,
        tracer: Tracer,
        access_log: AccessLog,
        prediction_log: PredictionLog,
        deadline_seconds: float,
    ) -> None:
        self._catalog = catalog
        self._guard = guard
        self._metrics = metrics
        self._tracer = tracer
        self._access_log = access_log
        self._prediction_log = prediction_log
        self._deadline_seconds = deadline_seconds
        self.alone = False  # whether only one client is connected: nobody to share a batch with

    def answer(self, call: Call) -> None:
        """Answer one call, now or later, exactly once, by its `reply`; raises nothing."""
        self._metrics.start(call.endpoint)
        call.request_id = self.request_id(call.headers)
        call.span = self._tracer.begin(call)
        try:
            call.client = self._guard.admit(call.headers, "infer", call.model)
            served = self._catalog.find(call.model, call.version, call.headers)
        except Loading as loading:
            loading.future.add_done_callback(lambda loaded: self._resume(call, loaded))
        except Exception as error:
            self._turn_away(call, error)
        else:
            self._submit(call, served)

    def refuse(self, call: Call, error: RequestError) -> None:
        """Account for a call whose body could not even be read, and answer it."""
        self._metrics.start(call.endpoint)
        call.request_id = self.request_id(call.headers)
        self._turn_away(call, error)

    def refuse_crowd(self, call: Call) -> bool:
        """Answer a call whose body has yet to come, if its queue is full; whether it did."""
        try:
            served = self._catalog.find(call.model, call.version, call.headers)
        except (Loading, RequestError):  # said when the body is there
            return False
        try:
            served.lane.require_room()
        except RequestError as error:
            self._metrics.start(call.endpoint)
            call.request_id = self.request_id(call.headers)
            self.fail(call, error, served.model)
            return True
        return False

    def _turn_away(self, call: Call, error: Exception, model: Model | None = None) -> None:
        """Fail a call that no lane has seen; a lane counts by itself what it refuses."""
        if isinstance(error, RequestError):
            self._metrics.refused(call.model if model is None else model.name, error.status)
        self.fail(call, error, model)

    def request_id(self, headers: Mapping[bytes, bytes]) -> bytes:
        """The client's X-Request-ID, or a new one where it sent none that can be logged."""
        given = headers.get(b"x-request-id")
        if given is not None and _REQUEST_ID.fullmatch(given):
            return given
        return b"%032x" % getrandbits(128)  # a name, no secret

    def _resume(self, call: Call, loaded: asyncio.Future[Served]) -> None:
        try:
            served = loaded.result()
        except asyncio.CancelledError:
            self._turn_away(call, RequestError(503, "the server is shutting down"))
        except Exception as error:
            self._turn_away(call, error)
        else:
            self._submit(call, served)

    def _submit(self, call: Call, served: Served) -> None:
        try:
            served.lane.require_room()
        except RequestError as error:
            self.fail(call, error, served.model)
            return
        try:
            asked = call.read(call, served.model)
        except Exception as error:
            self._turn_away(call, error, served.model)
            return
        inference = _Inference(self, call, served, asked)
        deadline = call.start + self._patience(call, served.model)
        try:
            request = served.lane.submit(
                asked.feeds, asked.rows, inference, deadline=deadline, priority=call.priority
            )
        except Exception as error:
            self.fail(call, error, served.model)
        else:
            call.cancel = partial(served.lane.cancel, request)
            if self.alone:
                served.lane.run_now()

    def _patience(self, call: Call, model: Model) -> float:
        """Seconds for the answer: what the client or the proxy gives it, within our own limit."""
        own = model.config.deadline_ms
        limit = self._deadline_seconds if own is None else own / 1000
        if call.timeout is not None:
            limit = min(limit, call.timeout)
        for name in _TIMEOUTS:
            value = call.headers.get(name)
            if value is not None and value.isdigit() and len(value) < _MOST_DIGITS:
                return min(int(value) / 1000, limit)
        return limit

    def finish(
        self,
        call: Call,
        answer: Answer,
        outcome: Outcome | None = None,
        model: Model | None = None,
    ) -> None:
        """Send the answer and account for it."""
        status = answer.status if call.reply(answer) else CLIENT_CLOSED
        seconds = time.perf_counter() - call.start
        self._metrics.leave()
        self._metrics.finish("POST", call.endpoint, status, seconds, call.span)
        if self._access_log.wants(status):
            self._access_log.write(call, answer, seconds, outcome, model)
        if call.span is not None:
            call.span.end(status)

    def fail(self, call: Call, error: Exception, model: Model | None = None) -> None:
        """Answer an error: in the client's words if it is one of its own, else without details."""
        if isinstance(error, RequestError):
            self.finish(call, error_answer(call.path, error), None, model)
        elif isinstance(error, InferenceError):
            _log.error("inference failed", extra=_about(call, str(error)))
            self.finish(call, error_answer(call.path, _FAILED), None, model)
        else:
            _log.error("request failed", exc_info=error, extra=_about(call, type(error).__name__))
            self.finish(call, error_answer(call.path, _BROKEN), None, model)

    def deliver(self, inference: _Inference, outcome: Outcome) -> None:
        """Write the answer of a run that has ended."""
        call, model, outputs = inference.call, inference.model, outcome.outputs
        if outputs is None:
            self.fail(call, outcome.error or RuntimeError("a run without outcome"), model)
            return
        try:
            answer = inference.asked.write(outputs)
            if self._prediction_log.wants():
                feeds = inference.asked.feeds
                self._prediction_log.record(call, model, feeds, outputs, outcome)
            if call.span is not None:
                queued, ran, rows = outcome.queued, outcome.inference, outcome.batch_rows
                call.span.stages(model, inference.read_at, queued, ran, rows)
        except Exception as error:
            self.fail(call, error, model)
        else:
            self.finish(call, answer, outcome, model)


class _Inference:
    """What is known of a call while its rows are computed."""

    __slots__ = ("asked", "call", "model", "pipeline", "read_at")

    def __init__(self, pipeline: Pipeline, call: Call, served: Served, asked: Asked) -> None:
        self.pipeline = pipeline
        self.call = call
        self.model = served.model
        self.asked = asked
        self.read_at = time.perf_counter()

    def __call__(self, outcome: Outcome) -> None:
        self.pipeline.deliver(self, outcome)


def _about(call: Call, reason: str) -> dict[str, str]:
    return {"request_id": call.request_id.decode(), "reason": reason}
