"""Runs batches in threads: the event loop goes on, and health answers, while a model computes."""

import asyncio
import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from time import perf_counter
from typing import Any

from inference_server.scheduling.batch import Batch, Request
from inference_server.scheduling.waiting import WaitingRequests

Execute = Callable[[Batch], None]
Deliver = Callable[[Batch, Any], None]  # with the runner


class ThreadRunner:
    """Threads that fetch the next batch themselves, so that none waits for the event loop.

    Everything but `_work` and what it calls belongs to the event loop's thread.
    """

    def __init__(
        self,
        name: str,
        count: int,
        waiting: WaitingRequests,
        max_rows: int,
        delay: float,
        execute: Execute,
        deliver: Deliver,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self.waiting = waiting
        self.lock = threading.Lock()
        self.running: list[Batch | None] = [None] * count
        self._name = name
        self.max_rows = max_rows
        self._delay = delay
        self._execute = execute
        self._deliver = deliver
        self._loop = loop
        self._threads: list[threading.Thread] = []
        self._wake: SimpleQueue[None] = SimpleQueue()
        self._idle = 0  # threads that wait for a token in `_wake`; changes with it, under the lock
        self._stopped = False

    def put(self, request: Request) -> None:
        """Let a request run as soon as a thread is free."""
        if not self._threads:
            self._start()
        with self.lock:
            self.waiting.put(request)
            if self._idle:
                self._idle -= 1
                self._wake.put(None)

    def put_back(self, batch: Batch) -> None:
        """Let the unanswered requests of a batch that failed run one by one."""
        with self.lock:
            self.waiting.put_back_alone(r for r in batch.requests if r.done is not None)
            for _ in range(self._idle):
                self._wake.put(None)
            self._idle = 0

    def stop(self) -> None:
        """Let the threads end after what they are running."""
        self._stopped = True
        for _ in self._threads:
            self._wake.put(None)

    def join(self, seconds: float) -> None:
        """Wait for the threads to end; for use where nothing runs any more."""
        for thread in self._threads:
            thread.join(seconds)

    def _start(self) -> None:
        self._threads = [
            threading.Thread(
                target=self._work, args=(slot,), name=f"{self._name}-{slot}", daemon=True
            )
            for slot in range(len(self.running))
        ]
        for thread in self._threads:
            thread.start()

    def _work(self, slot: int) -> None:
        while (batch := self._fetch(slot)) is not None:
            if batch.requests:
                self._execute(batch)
            try:
                self._loop.call_soon_threadsafe(self._delivered, slot, batch)
            except RuntimeError:  # the event loop is closed: nobody is left to answer
                return

    def _delivered(self, slot: int, batch: Batch) -> None:
        if self.running[slot] is batch:
            self.running[slot] = None
        self._deliver(batch, self)

    def _fetch(self, slot: int) -> Batch | None:
        """Wait for the next batch; None when the threads have to end."""
        while not self._stopped:
            with self.lock:
                patience = self._patience()
                if patience == 0:
                    batch = self.waiting.take(self.max_rows, perf_counter())
                    batch.started = perf_counter()
                    self.running[slot] = batch
                    return batch
                self._idle += 1
            self._sleep(patience)
        return None

    def _patience(self) -> float | None:
        """Seconds until a batch is due; None: when the next request comes."""
        if not self.waiting.requests:
            return None
        if not self._delay or self.waiting.rows >= self.max_rows:
            return 0
        return max(0, self.waiting.oldest() + self._delay - perf_counter())

    def _sleep(self, seconds: float | None) -> None:
        try:
            self._wake.get(timeout=seconds)
        except Empty:
            with self.lock:
                try:
                    self._wake.get_nowait()  # put meanwhile, by one who counted this thread
                except Empty:
                    self._idle -= 1
