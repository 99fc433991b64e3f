"""Runs inferences in threads of their own, a bounded number of them at a time."""

import asyncio
import threading
from collections.abc import Iterable, Mapping
from queue import SimpleQueue
from typing import NamedTuple

from inference_server.errors import RequestError
from inference_server.models.model import Model
from inference_server.models.signature import Tensor
from inference_server.observability.metrics import Metrics

Outputs = dict[str, Tensor]


class _Job(NamedTuple):
    model: Model
    feeds: Mapping[str, Tensor]
    answer: "asyncio.Future[Outputs]"
    loop: asyncio.AbstractEventLoop


class Scheduler:
    """Keeps inference off the event loop: health answers while a model runs."""

    def __init__(
        self, threads: int, max_in_flight: int, models: Iterable[str], metrics: Metrics
    ) -> None:
        self._free = max_in_flight
        self._queues = {name: metrics.queue(name) for name in models}
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._threads = [
            threading.Thread(target=self._work, name=f"inference-{number}", daemon=True)
            for number in range(threads)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, model: Model, feeds: Mapping[str, Tensor]) -> Outputs:
        """Outputs of one inference.

        Raises RequestError (429) at once when too many wait, InferenceError when the model fails.
        """
        depth, rejected = self._queues[model.name]
        if self._free <= 0:
            rejected.inc()
            raise RequestError(429, "too many inferences in flight", {"Retry-After": "1"})
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Outputs] = loop.create_future()
        self._free -= 1
        depth.inc()
        try:
            self._jobs.put(_Job(model, feeds, answer, loop))
            return await answer
        finally:
            self._free += 1
            depth.dec()

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            if job.answer.cancelled():
                continue
            try:
                outputs = job.model.run(job.feeds)
            except Exception as error:
                job.loop.call_soon_threadsafe(_fail, job.answer, error)
            else:
                job.loop.call_soon_threadsafe(_succeed, job.answer, outputs)

    def close(self) -> None:
        """Let the threads end after what they are running."""
        for _ in self._threads:
            self._jobs.put(None)


def _succeed(answer: "asyncio.Future[Outputs]", outputs: Outputs) -> None:
    if not answer.done():
        answer.set_result(outputs)


def _fail(answer: "asyncio.Future[Outputs]", error: Exception) -> None:
    if not answer.done():
        answer.set_exception(error)
