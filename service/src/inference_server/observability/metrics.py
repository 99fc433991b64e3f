"""Prometheus metrics; every series is created at start, so that no first increment is lost.

A request costs a few additions to slots of the process's own store; the text is made when
Prometheus asks.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from time import time

from prometheus_client import (
    CollectorRegistry,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics

from inference_server.models.contract import ModelContract
from inference_server.observability import families as f
from inference_server.observability.exposition import (
    OPENMETRICS,
    Exemplar,
    Exposition,
    content_type,
)
from inference_server.observability.families import ENDPOINTS, REJECTIONS
from inference_server.observability.model_metrics import ModelMetrics
from inference_server.observability.monitor import OutputMonitor
from inference_server.observability.series import Counter, Family, Gauge, Histogram, Key
from inference_server.observability.store import Store
from inference_server.observability.traces import Span

NO_MODEL = ""

_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"})
_REASONS = {
    401: "unauthorized",
    403: "unauthorized",
    429: "rate_limit",
    503: "not_ready",
    504: "deadline",
}


class Metrics:
    """All metrics of one process; with several workers the values meet in files."""

    def __init__(self) -> None:
        folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR")
        self._store = Store(f.FAMILIES, Path(folder) if folder else None)
        self._exposition = Exposition(f.FAMILIES)
        self._exemplars: dict[tuple[Key, int], Exemplar] = {}
        self._models: dict[tuple[str, int], ModelMetrics] = {}
        self._versions: dict[str, dict[int, bool]] = {}
        self._process = CollectorRegistry()
        PlatformCollector(registry=self._process)
        if not folder:
            ProcessCollector(registry=self._process)
        self._make_request_series()
        self._make_service_series()

    def counter(self, family: Family, *labels: str) -> Counter:
        """The counter of these label values."""
        return self._store.series(Counter, family, *labels)

    def gauge(self, family: Family, *labels: str) -> Gauge:
        """The gauge of these label values."""
        return self._store.series(Gauge, family, *labels)

    def histogram(self, family: Family, *labels: str) -> Histogram:
        """The histogram of these label values."""
        return self._store.series(Histogram, family, *labels)

    def _make_request_series(self) -> None:
        self._started = {name: self.counter(f.STARTED, name) for name in ENDPOINTS}
        self._failed = {name: self.counter(f.REQUEST_ERRORS, name) for name in ENDPOINTS}
        self._seconds = {name: self.histogram(f.REQUEST_SECONDS, name) for name in ENDPOINTS}
        self._active = self.gauge(f.ACTIVE)
        self._finished = {
            (method, endpoint, status): self.counter(f.REQUESTS, method, endpoint, str(status))
            for (method, endpoint), statuses in f.STATUSES.items()
            for status in statuses
        }

    def _make_service_series(self) -> None:
        self.log_dropped = self.counter(f.LOG_DROPPED)
        self.spans_dropped = self.counter(f.SPANS_DROPPED)
        self.spans_exported = self.counter(f.SPANS_EXPORTED)
        self.predictions_logged = self.counter(f.PREDICTIONS_LOGGED)
        self.predictions_dropped = {
            reason: self.counter(f.PREDICTIONS_DROPPED, reason) for reason in f.DROP_REASONS
        }
        for reason in f.EXIT_REASONS:
            self.counter(f.EXITS, reason)
        self._rejected = {
            (NO_MODEL, reason): self.counter(f.REJECTED, NO_MODEL, reason) for reason in REJECTIONS
        }

    # Requests: called once or twice for each.

    def start(self, endpoint: str) -> None:
        """A request has begun; seen by other workers before its work starts."""
        self._started[endpoint].inc()
        self._active.inc()

    def finish(
        self, method: str, endpoint: str, status: int, seconds: float, span: Span | None = None
    ) -> None:
        """A request has been answered with this status; the trace of its span is an exemplar."""
        child = self._finished.get((method, endpoint, status))
        if child is None:
            name = method if method in _METHODS else "other"
            child = self.counter(f.REQUESTS, name, endpoint, str(status))
        child.inc()
        if status >= 500:
            self._failed[endpoint].inc()
        bucket = self._seconds[endpoint].observe(seconds)
        if span is not None:
            key = (f.REQUEST_SECONDS.name, (endpoint,))
            self._exemplars[key, bucket] = Exemplar(span.trace_id, seconds, time())

    def leave(self) -> None:
        """A request is no longer active, answered or not."""
        self._active.dec()

    def rejected(self, model: str | None, reason: str) -> None:
        """An inference was refused; a name that is no announced model's counts as no model's."""
        child = self._rejected.get((model or NO_MODEL, reason))
        (child or self._rejected[NO_MODEL, reason]).inc()

    def refused(self, model: str | None, status: int) -> None:
        """An inference was refused with this status before its lane had it."""
        self.rejected(model, _REASONS.get(status, "invalid"))

    # Models: called when one is found, loaded, unloaded.

    def announce(self, name: str, version: int) -> None:
        """A model version was found: not ready, no failure yet."""
        self._versions.setdefault(name, {}).setdefault(version, False)
        self.gauge(f.READY, name, str(version)).set(0)
        for reason in f.LOAD_FAILURES:
            self.counter(f.FAILED_LOADS, name, str(version), reason)
        for reason in REJECTIONS:
            self._rejected[name, reason] = self.counter(f.REJECTED, name, reason)
        for family in f.COUNTED_BY_MODEL:
            self.counter(family, name)
        self.histogram(f.LOAD_SECONDS, name)
        self.gauge(f.DEPTH, name)

    def model(self, name: str, version: int, classes: Sequence[str] = ()) -> ModelMetrics:
        """The series of one model version; `classes` get one more, "other"."""
        found = self._models.get((name, version))
        if found is None:
            found = self._models[name, version] = ModelMetrics(self._store, name, str(version))
        if classes:
            found.name_classes(classes)
        return found

    def monitor(self, name: str, version: int, contract: ModelContract) -> ModelMetrics:
        """The series of one model version, whose outputs are held to its contract from now on."""
        metrics = self.model(name, version, contract.class_names)
        metrics.monitor = OutputMonitor(contract, metrics)
        return metrics

    def lane(self, name: str, version: int) -> ModelMetrics:
        """What a lane reports to."""
        return self.model(name, version)

    def queue(self, name: str) -> tuple[Gauge, Counter]:
        """Depth of a model's queue, and the inferences refused because it was full."""
        return self.gauge(f.DEPTH, name), self.counter(f.REJECTED, name, "queue_full")

    def load_failed(self, name: str, version: int, reason: str) -> None:
        """A model version could not be made ready; reason is one of a fixed set."""
        self.counter(f.FAILED_LOADS, name, str(version), reason).inc()

    def loaded(
        self,
        name: str,
        version: int,
        sha256: str,
        framework: str,
        seconds: float | None = None,
        memory: int | None = None,
    ) -> None:
        """A model is in memory: `seconds` from file to ready, `memory` in bytes."""
        self.gauge(f.INFO, name, str(version), sha256, framework).set(1)
        if seconds is not None:
            self.histogram(f.LOAD_SECONDS, name).observe(seconds)
        if memory is not None:
            self.gauge(f.MEMORY, name, str(version)).set(memory)
        self._versions.setdefault(name, {})[version] = True
        self._show_version(name)

    def runs_on(
        self,
        name: str,
        version: int,
        provider: str,
        gpu_required: bool,
        device: str | None = None,
        fallback: bool = False,
    ) -> None:
        """The provider and device that ONNX Runtime really took; `fallback`: not the one asked."""
        required = str(gpu_required).lower()
        self.gauge(f.PROVIDER, name, str(version), provider, required).set(1)
        place = device or ("cpu" if provider == "CPUExecutionProvider" else "gpu")
        self.gauge(f.DEVICE, name, str(version), place).set(1)
        self.gauge(f.FALLBACK, name, str(version)).set(fallback)

    def evicted(self, name: str) -> None:
        """A model gave up its memory to others."""
        self.counter(f.EVICTIONS, name).inc()

    def unloaded(self, name: str, version: int) -> None:
        """A version has left memory but can be loaded again: no facts, not ready."""
        self._models.pop((name, version), None)
        self._drop(name, str(version), f.FACTS)
        self.gauge(f.READY, name, str(version)).set(0)
        self._versions.setdefault(name, {})[version] = False
        self._show_version(name)

    def forget(self, name: str, version: int) -> None:
        """A version is no longer served: its series end, and with its last version the model's."""
        versions = self._versions.setdefault(name, {})
        versions.pop(version, None)
        self._models.pop((name, version), None)
        self._drop(name, str(version), f.OF_A_VERSION)
        self._show_version(name)
        if not versions:
            del self._versions[name]
            for reason in REJECTIONS:
                self._rejected.pop((name, reason), None)
            self._drop(name, None, f.OF_A_MODEL)

    def _show_version(self, name: str) -> None:
        loaded = [version for version, there in self._versions[name].items() if there]
        if loaded:
            self.gauge(f.VERSION, name).set(max(loaded))
        else:
            self._drop(name, None, (f.VERSION,))

    def _drop(self, name: str, version: str | None, families: Sequence[Family]) -> None:
        names = {family.name for family in families}
        wanted = (name,) if version is None else (name, version)
        self._store.drop(lambda key: key[0] in names and key[1][: len(wanted)] == wanted)

    # Scrapes.

    def render(self) -> bytes:
        """The text that Prometheus scrapes, of all workers together."""
        return self.exposition("")[0]

    def exposition(self, accept: str) -> tuple[bytes, str]:
        """The text and its content type, as the Accept header asks: OpenMetrics has exemplars."""
        kind = content_type(accept)
        totals = self._store.totals()
        totals[f.RESTARTS.name, ()] = [float(self._store.deaths)]
        exemplars = dict(self._exemplars) if kind == OPENMETRICS else None
        encode = generate_latest if exemplars is None else generate_openmetrics
        text = self._exposition.write(totals, exemplars).encode()
        return text + encode(self._process), kind  # the last line of OpenMetrics ends it
