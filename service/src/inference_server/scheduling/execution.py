"""One run of the model: rows put together, padded, computed, and shared out again."""

import logging
from collections.abc import Callable
from time import perf_counter, thread_time

from inference_server.scheduling.batch import (
    Batch,
    Feeds,
    Outputs,
    assemble,
    bucket,
    drop_padding,
    split,
)
from inference_server.scheduling.reports import LaneMetrics, RunMarker

Run = Callable[[Feeds], Outputs]

_log = logging.getLogger(__name__)


class Execution:
    """Runs batches in whatever thread asks; what goes wrong is left in the batch."""

    def __init__(
        self, run: Run, buckets: tuple[int, ...], metrics: LaneMetrics, marker: RunMarker | None
    ) -> None:
        self._run = run if marker is None else _marked(run, marker)
        self.buckets = buckets
        self._metrics = metrics

    def release_model(self) -> None:
        """Let go of the model now: the lane is in a circle, which only the collector finds."""
        self._run = _run_nothing

    def __call__(self, batch: Batch) -> None:
        """Fill in the outputs of each request of the batch, or the error of them all."""
        requests, rows = batch.requests, batch.rows
        padded = bucket(rows, self.buckets) if self.buckets else rows
        busy = thread_time()
        batch.started = perf_counter()
        try:
            outputs = self._run(assemble(requests, rows, padded))
            batch.seconds = perf_counter() - batch.started
            batch.busy = thread_time() - busy
            if len(requests) == 1 and padded == rows:
                batch.outputs = [outputs]
            else:
                batch.outputs = split(outputs, requests, padded)
            batch.padded = padded
        except Exception as error:
            batch.error = error
        else:
            self.observe(outputs if padded == rows else drop_padding(outputs, rows))

    def observe(self, outputs: Outputs) -> None:
        """Let the metrics look at what will be answered."""
        try:
            self._metrics.observe(outputs)
        except Exception:
            _log.exception("outputs could not be observed")


def _run_nothing(_: Feeds) -> Outputs:
    raise RuntimeError("the lane has ended")


def _marked(run: Run, marker: RunMarker) -> Run:
    def marked_run(feeds: Feeds) -> Outputs:
        marker.begin()
        try:
            return run(feeds)
        finally:
            marker.end()

    return marked_run
