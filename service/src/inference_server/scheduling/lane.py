"""The way of requests through one model version: admitted, batched, run, answered exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from itertools import chain
from math import inf
from time import perf_counter
from typing import NoReturn

from inference_server.errors import CLIENT_CLOSED, RequestError
from inference_server.models.failures import InferenceError
from inference_server.models.signature import sample_feeds
from inference_server.scheduling.batch import (
    Batch,
    Done,
    Feeds,
    Outcome,
    Outputs,
    Request,
    UnsplittableError,
    batch_key,
)
from inference_server.scheduling.cache import ResponseCache, cache_key
from inference_server.scheduling.deadlines import Alarm
from inference_server.scheduling.execution import Execution
from inference_server.scheduling.inline import InlineRunner
from inference_server.scheduling.pace import Pace
from inference_server.scheduling.plan import (
    LanePlan,
    Runnable,
    inline_rows,
    is_uniform,
)
from inference_server.scheduling.reports import LaneMetrics, RunMarker
from inference_server.scheduling.threads import ThreadRunner
from inference_server.scheduling.waiting import WaitingRequests

__all__ = ["Done", "Lane", "Outcome"]

_HANG_FACTOR = 10  # times the usual run time
_FAILURES_BEFORE_PROBE = 3
_JOIN_SECONDS = 1.0

OnFailure = Callable[[str, str], None]

_log = logging.getLogger(__name__)


class Lane:
    """Queue, batches, deadlines and runners of one model version; event loop only."""

    def __init__(
        self,
        model: Runnable,
        plan: LanePlan,
        metrics: LaneMetrics,
        *,
        on_failure: OnFailure | None = None,
        marker: RunMarker | None = None,
    ) -> None:
        """`on_failure` gets `hung` or `broken`, and what happened: the lane has ended itself."""
        self._name, self._version = model.name, str(model.version)
        self._inputs = model.inputs
        self._plan = plan
        self._metrics = metrics
        self._on_failure = on_failure
        self._marker = marker
        self._execution = Execution(model.run, plan.buckets, metrics, marker)
        self._loop = asyncio.get_running_loop()
        self._pace = Pace(plan.seconds, plan.inline_seconds)
        self._inline_rows = self._largest_inline = inline_rows(plan)
        self._keyed = plan.max_rows > 1 and not is_uniform(model)
        self._cache = ResponseCache(plan.cache_bytes) if plan.cache_bytes else None
        self._open_runners()
        self._unanswered = 0
        self._refusal: tuple[str, str] | None = None  # reason for metrics, message
        self._failed = False
        self._closed: asyncio.Future[None] | None = None
        self._failures = 0  # consecutive
        self._alarm = Alarm(self._loop, self._expire)

    def _open_runners(self) -> None:
        plan, name = self._plan, f"{self._name}-{self._version}"
        queues = [WaitingRequests(plan.levels, not self._keyed) for _ in range(2)]
        self._fast, self._slow = queues
        run = (plan.max_rows, plan.delay_seconds, self._execution, self._deliver, self._loop)
        self._inline = InlineRunner(self._fast, *run)
        self._threads = ThreadRunner(name, plan.threads, self._slow, *run)

    @property
    def depth(self) -> int:
        """Requests that wait."""
        return self._fast.requests + self._slow.requests

    @property
    def inline(self) -> bool:
        """Whether batches run inside the event loop at present."""
        return self._inline_rows > 0

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs."""
        return not self._unanswered

    @property
    def ended(self) -> bool:
        """Whether nothing will run any more."""
        return self._failed or (self._closed is not None and self._closed.done())

    def release_marker(self) -> None:
        """Let another lane have what marks this one's runs; only once it has ended."""
        if self._marker is not None:
            self._marker.release()

    def submit(
        self,
        feeds: Feeds,
        rows: int,
        done: Done,
        *,
        deadline: float | None = None,
        priority: int = 0,
    ) -> Request:
        """Queue one request; `done` gets its one outcome in the event loop, after this returns.

        `deadline` is a time of `perf_counter`; priority 0 goes first. Raises RequestError: 429 with
        Retry-After when the queue is full, 503 when the lane has ended, 504 after the deadline.
        What is returned is for `cancel`.
        """
        now = perf_counter()
        if deadline is None:
            deadline = inf
        if self._refusal is not None or deadline <= now:
            self._refuse()
        request = Request(feeds, rows, done, now, deadline)
        if self._cache is not None and self._answer_from_cache(request, self._cache):
            return request
        fast, slow, plan = self._fast, self._slow, self._plan
        if fast.requests + slow.requests >= plan.max_queue or (
            rows > plan.max_rows and self._overflows(rows)
        ):
            self._turn_away()
        if priority:
            request.level = min(max(priority, 0), plan.levels - 1)
        if self._keyed:
            request.key = batch_key(feeds)
        self._unanswered += 1
        if rows <= self._inline_rows:
            self._inline.put(request)
        else:
            self._threads.put(request)
        if deadline < self._alarm.at:
            self._alarm.set(deadline)
        return request

    def require_room(self) -> None:
        """Refuse now what `submit` would refuse after its body was read: 429 while it is full."""
        if self._fast.requests + self._slow.requests >= self._plan.max_queue:
            self._turn_away()

    def run_now(self) -> None:
        """Run now what waits for the next iteration of the event loop."""
        self._inline.run_now()

    def _refuse(self) -> NoReturn:
        if self._refusal is None:
            self._metrics.rejected("deadline")
            raise _late()
        reason, message = self._refusal
        self._metrics.rejected(reason)
        raise RequestError(503, message, {"Retry-After": "1"})

    def _overflows(self, rows: int) -> bool:
        queued = self._fast.rows + self._slow.rows
        return queued > 0 and queued + rows > self._plan.max_queued_rows

    def _turn_away(self) -> NoReturn:
        self._metrics.rejected("queue_full")
        self._metrics.depth(self.depth)
        rows = self._fast.rows + self._slow.rows
        seconds = self._pace.retry_after(rows / self._plan.max_rows / self._plan.threads)
        raise RequestError(429, "too many requests wait", {"Retry-After": str(seconds)})

    def cancel(self, request: Request) -> None:
        """Give up a request whose client has gone: its outcome is 499, what runs goes on."""
        self._end(request, RequestError(CLIENT_CLOSED, "the client closed the request"))

    def _answer_from_cache(self, request: Request, cache: ResponseCache) -> bool:
        request.cache_key = cache_key(request.feeds)
        outputs = cache.get(request.cache_key)
        self._metrics.cached(outputs is not None)
        if outputs is None:
            return False
        self._execution.observe(outputs)
        self._unanswered += 1
        self._loop.call_soon(self._answer, request, Outcome(outputs, None, 0.0, 0.0, 0))
        return True

    # Answering: each request's `done` is taken away with its outcome, so that there is one.

    def _deliver(self, batch: Batch, runner: InlineRunner | ThreadRunner) -> None:
        for request in batch.late:
            self._end_late(request)
        if batch.error is not None:
            self._recover(batch, batch.error, runner)
        elif batch.requests:
            self._hand_out(batch)
        if self._closed is not None:
            self._settle()

    def _hand_out(self, batch: Batch) -> None:
        started, seconds, rows = batch.started, batch.seconds, batch.padded
        waits = []
        for request, outputs in zip(batch.requests, batch.outputs, strict=True):
            queued = started - request.arrived
            waits.append(queued)
            self._answer(request, Outcome(outputs, None, queued, seconds, rows))
        metrics = self._metrics
        metrics.ran(batch.rows, seconds, rows)
        metrics.waited(waits)
        metrics.depth(self.depth)
        self._failures = 0
        # A machine that is too busy takes its time from a thread as well: that is no reason to go.
        if self._pace.observe(batch.busy if self.inline else seconds, started):
            self._change_runner()

    def _answer(self, request: Request, outcome: Outcome) -> None:
        done = request.done
        if done is None:
            return
        request.done = None
        self._unanswered -= 1
        try:
            if request.cache_key is not None and outcome.outputs is not None:
                self._keep(request.cache_key, outcome.outputs)
            done(outcome)
        except Exception:
            _log.exception("an outcome could not be delivered")

    def _keep(self, key: bytes, outputs: Outputs) -> None:
        if self._cache is not None and self._refusal is None and self._cache.get(key) is None:
            self._cache.put(key, outputs)

    def _end(self, request: Request, error: Exception) -> None:
        """Answer with an error, whether the request waits or runs."""
        if request.waiting is not None:
            with self._threads.lock:
                if request.waiting is not None:
                    request.waiting.forget(request)
        queued = perf_counter() - request.arrived
        self._answer(request, Outcome(None, error, queued, 0.0, 0))
        if self._closed is not None:
            self._settle()

    def _end_all(self, requests: Iterable[Request], error: RequestError) -> None:
        for request in requests:
            if request.done is not None:
                self._end(request, error)

    def _end_late(self, request: Request) -> None:
        if request.done is not None:
            self._metrics.rejected("deadline")
            self._end(request, _late())

    def _expire(self, now: float) -> float:
        """Answer every request whose deadline has passed; the next deadline."""
        late, earliest = self._fast.expire(now)
        with self._threads.lock:
            slow, next_slow = self._slow.expire(now)
            running = [batch for batch in self._threads.running if batch is not None]
        for request in chain(*(batch.requests for batch in running)):
            if request.deadline <= now:
                slow.append(request)
            elif request.done is not None and request.deadline < earliest:
                earliest = request.deadline
        for request in chain(late, slow):
            self._end_late(request)
        return min(earliest, next_slow)

    # Failing: what one request does wrong is not the fault of those that ran with it.

    def _recover(self, batch: Batch, error: Exception, runner: InlineRunner | ThreadRunner) -> None:
        if self._failed:
            self._end_all(batch.requests, _not_ready())
        elif isinstance(error, UnsplittableError):
            self._stop_batching(error)
            runner.put_back(batch)
        elif len(batch.requests) > 1:
            runner.put_back(batch)
        else:
            self._blame(batch.requests[0], error)

    def _stop_batching(self, error: UnsplittableError) -> None:
        _log.warning("requests are run one by one", extra=self._about(reason=str(error)))
        self._execution.buckets = ()
        self._inline.max_rows = self._threads.max_rows = 1

    def _blame(self, request: Request, error: Exception) -> None:
        if not isinstance(error, InferenceError):
            _log.error("a run failed outside ONNX Runtime", exc_info=error, extra=self._about())
            error = InferenceError(type(error).__name__)
        self._end(request, error)
        memory = isinstance(error, InferenceError) and error.memory
        self._metrics.failed("memory" if memory else "runtime")
        self._failures += 1
        if self._failures == _FAILURES_BEFORE_PROBE and self._refusal is None:
            self._probe()

    def _probe(self) -> None:
        """Is it the model or the requests? What warm-up ran has to run still."""
        request = Request(
            sample_feeds(self._inputs.values(), self._plan.sample_shapes),
            1,
            self._judge,
            perf_counter(),
        )
        request.alone = True
        self._unanswered += 1
        (self._inline if self._inline_rows else self._threads).put(request)

    def _judge(self, probe: Outcome) -> None:
        if isinstance(probe.error, InferenceError):
            self.fail("broken", "the run that warmed the model up fails now")

    def check(self, now: float) -> None:
        """Find a run that hangs; called about once a second."""
        self._metrics.depth(self.depth)
        for batch in self._threads.running:
            if batch is None or not batch.requests or self._failed:
                continue
            usual = self._pace.seconds * max(1.0, batch.rows / self._plan.max_rows)
            if now - batch.started > max(self._plan.hang_seconds, _HANG_FACTOR * usual):
                self._metrics.hung()
                self._metrics.failed("hang")
                self._end_all(batch.requests, _not_ready())
                self.fail("hung", f"a run has not ended after {now - batch.started:.1f} s")

    def fail(self, reason: str, detail: str) -> None:
        """End the lane at once: what waits gets 503, what runs may finish."""
        if self._failed:
            return
        self._failed = True
        self._refusal = ("not_ready", "the model is not ready")
        _log.error("the model is not ready any more", extra=self._about(reason=reason))
        self._give_up_waiting()
        self._metrics.depth(0)
        if self._on_failure is not None:
            self._on_failure(reason, detail)

    def _give_up_waiting(self) -> None:
        with self._threads.lock:
            waiting = [*self._fast.clear(), *self._slow.clear()]
        self._end_all(waiting, _not_ready())
        self._threads.stop()

    # Ending.

    async def close(self) -> None:
        """Refuse what comes, finish what was taken, then end the threads."""
        if self._refusal is None:
            self._refusal = ("draining", "this version of the model is being unloaded")
        if self._closed is None:
            self._closed = self._loop.create_future()
            self._settle()
        await asyncio.shield(self._closed)

    def abandon(self) -> None:
        """End at once: whatever has no outcome yet gets 503."""
        self._failed = True
        self._refusal = ("draining", "the server is shutting down")
        running = [batch for batch in self._threads.running if batch is not None]
        self._give_up_waiting()
        self._end_all(chain(*(batch.requests for batch in running)), _not_ready())
        self._alarm.stop()

    def _settle(self) -> None:
        """Complete `close` as soon as every request has its outcome."""
        if self._unanswered or self._closed is None or self._closed.done():
            return
        self._closed.set_result(None)
        self._metrics.depth(0)
        self._alarm.stop()
        self._threads.stop()
        if self._cache is not None:
            self._cache.clear()
        if not any(self._threads.running):  # else a run past its deadline goes on
            self._threads.join(_JOIN_SECONDS)
        self._on_failure = None
        self._execution.release_model()

    def _change_runner(self) -> None:
        self._inline_rows = self._largest_inline if self._pace.inline else 0
        _log.info(
            "runs in the event loop" if self.inline else "runs in threads", extra=self._about()
        )

    def _about(self, **more: str) -> dict[str, str]:
        return {"model": self._name, "version": self._version, **more}


def _late() -> RequestError:
    return RequestError(504, "the deadline has passed")


def _not_ready() -> RequestError:
    return RequestError(503, "the model is not ready", {"Retry-After": "1"})
