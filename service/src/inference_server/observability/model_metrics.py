"""The series of one model version: what its lane reports, and what the monitor finds."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from inference_server.models.signature import Tensor
from inference_server.observability import families as f
from inference_server.observability.series import Counter, Gauge, Histogram
from inference_server.observability.store import Store

_MAX_CLASSES = 1000  # further ones count as "other": a series each would be too many


class Monitor(Protocol):
    """Looks at outputs."""

    def observe(self, outputs: Mapping[str, Tensor]) -> None:
        """Count what the outputs of one run hold, without padding."""


class ModelMetrics:
    """Safe to use after the version was unloaded: what is counted then goes nowhere."""

    def __init__(self, store: Store, name: str, version: str) -> None:
        self._store = store
        self._labels = labels = (name, version)
        self.monitor: Monitor | None = None
        self.classes: Sequence[Counter] = ()
        self.invalid = {k: store.series(Counter, f.INVALID, *labels, k) for k in f.INVALID_KINDS}
        self.errors = {k: store.series(Counter, f.ERRORS, *labels, k) for k in f.ERROR_KINDS}
        self.score = store.series(Histogram, f.SCORE, *labels)
        self.rows = store.series(Counter, f.ROWS, *labels)
        self.seconds = store.series(Histogram, f.INFERENCE, *labels)
        self.ready = store.series(Gauge, f.READY, *labels)
        self.memory = store.series(Gauge, f.MEMORY, *labels)
        self.batch_size = store.series(Histogram, f.BATCH_SIZE, name)
        self._batch_requests = store.series(Histogram, f.BATCH_REQUESTS, name)
        self._queue_seconds = store.series(Histogram, f.QUEUE_SECONDS, name)
        self._depth = store.series(Gauge, f.DEPTH, name)
        self._hangs = store.series(Counter, f.HANGS, name)
        self._hits = store.series(Counter, f.CACHE_HITS, name)
        self._misses = store.series(Counter, f.CACHE_MISSES, name)
        self._rejected = {k: store.series(Counter, f.REJECTED, name, k) for k in f.REJECTIONS}

    def name_classes(self, names: Sequence[str]) -> None:
        """Count classes by these names, the others as "other"."""
        self.classes = [
            self._store.series(Counter, f.CLASSES, *self._labels, each)
            for each in (*names[:_MAX_CLASSES], "other")
        ]

    def ran(self, rows: int, seconds: float, batch_rows: int) -> None:  # noqa: ARG002
        """One inference answered so many rows; `batch_rows` counts padding too."""
        self.rows.inc(rows)
        self.seconds.observe(seconds)
        self.batch_size.observe(rows)

    def waited(self, seconds: Sequence[float]) -> None:
        """How long each request of one inference had waited for it."""
        self._batch_requests.observe(len(seconds))
        for each in seconds:
            self._queue_seconds.observe(each)

    def observe(self, outputs: Mapping[str, Tensor]) -> None:
        """Look at all outputs of one inference, without padding."""
        if self.monitor is not None:
            self.monitor.observe(outputs)

    def failed(self, kind: str = "runtime") -> None:
        """A prediction failed: `runtime`, `hang` or `memory`."""
        self.errors[kind].inc()

    def hung(self) -> None:
        """An inference has not come back in time."""
        self._hangs.inc()

    def rejected(self, reason: str) -> None:
        """A request was not run, for one of the reasons of `inference_rejected_total`."""
        self._rejected[reason].inc()

    def depth(self, requests: int) -> None:
        """So many requests wait."""
        self._depth.set(requests)

    def cached(self, hit: bool) -> None:
        """The response cache was asked."""
        (self._hits if hit else self._misses).inc()
