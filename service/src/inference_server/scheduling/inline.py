"""Runs batches inside the event loop: what one of its iterations gathered is one batch."""

import asyncio
from collections.abc import Callable
from time import perf_counter
from typing import Any

from inference_server.scheduling.batch import Batch, Request
from inference_server.scheduling.waiting import WaitingRequests

_MOST_REQUESTS = 64

Execute = Callable[[Batch], None]
Deliver = Callable[[Batch, Any], None]  # with the runner


class InlineRunner:
    """For models so fast that handing a batch to a thread would cost more than running it."""

    def __init__(
        self,
        waiting: WaitingRequests,
        max_rows: int,
        delay: float,
        execute: Execute,
        deliver: Deliver,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.waiting = waiting
        self.max_rows = max_rows
        self._delay = delay
        self._execute = execute
        self._deliver = deliver
        self._loop = loop
        self._next: asyncio.Handle | None = None
        self._due = 0.0

    def put(self, request: Request) -> None:
        """Let a request run in the next iteration of the event loop, or after the delay.

        What is a batch already runs first: hundreds of connections that are read in one iteration
        would fill the queue, and all that is known of them the processor's cache.
        """
        waiting = self.waiting
        if waiting.rows >= self.max_rows or waiting.requests >= _MOST_REQUESTS:
            self._work()
        self.waiting.put(request)
        if self._next is None:
            self._schedule()
        elif self._due and self.waiting.rows >= self.max_rows:
            self._next.cancel()
            self._schedule()

    def run_now(self) -> None:
        """Run what waits, unless it waits for more on purpose."""
        if self._next is not None and not self._delay:
            self._next.cancel()
            self._run()

    def put_back(self, batch: Batch) -> None:
        """Let the unanswered requests of a batch that failed run one by one."""
        self.waiting.put_back_alone(r for r in batch.requests if r.done is not None)
        if self._next is None:
            self._schedule()

    def _schedule(self) -> None:
        wait = 0.0
        if self._delay and self.waiting.rows < self.max_rows:
            wait = self.waiting.oldest() + self._delay - perf_counter()
        if wait > 0:
            self._due = wait
            self._next = self._loop.call_later(wait, self._run)
        else:
            self._due = 0.0
            self._next = self._loop.call_soon(self._run)

    def _run(self) -> None:
        self._next = None
        self._work()
        if self.waiting.requests and self._next is None:
            self._schedule()

    def _work(self) -> None:
        batch = self.waiting.take(self.max_rows, perf_counter())
        if batch.requests:
            self._execute(batch)
        self._deliver(batch, self)
