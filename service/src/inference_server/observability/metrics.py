"""Prometheus metrics; every child is created at start, so that no first increment is lost."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.multiprocess import MultiProcessCollector

CONTENT_TYPE = CONTENT_TYPE_LATEST
ENDPOINTS = ("infer", "predict", "health", "metadata", "admin", "metrics", "other")
REQUEST_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
INFERENCE_EDGES = (0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
BATCH_EDGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SCORE_EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

_STATUSES = {
    ("POST", "infer"): (200, 400, 401, 404, 413, 415, 429, 499, 500, 503),
    ("POST", "predict"): (200, 400, 401, 404, 413, 415, 429, 499, 500, 503),
    ("GET", "health"): (200, 404, 500, 503),
    ("GET", "metadata"): (200, 401, 404, 500),
    ("GET", "metrics"): (200, 500),
    ("GET", "other"): (200, 404, 500),
}
_METHODS = frozenset({"GET", "POST", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"})
_MODEL = ("model_id", "model_version")
_LOAD_FAILURES = ("missing", "hash", "file", "signature", "warm_up", "gpu")
_INVALID = ("nan", "inf", "out_of_range")


@dataclass(frozen=True)
class ModelMetrics:
    """The children of one model version."""

    invalid: dict[str, Counter]
    classes: Sequence[Counter]
    score: Histogram
    rows: Counter
    seconds: Histogram
    batch_size: Histogram
    errors: dict[str, Counter]
    ready: Gauge


class Metrics:
    """All metrics of one process; with several workers the values meet in files."""

    def __init__(self) -> None:
        self._shared = "PROMETHEUS_MULTIPROC_DIR" in os.environ
        self._registry = CollectorRegistry()
        if not self._shared:
            ProcessCollector(registry=self._registry)
            PlatformCollector(registry=self._registry)
        self._make_request_metrics()
        self._make_model_metrics()
        self._make_model_facts()

    def _counter(self, name: str, text: str, labels: Sequence[str]) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _gauge(self, name: str, text: str, labels: Sequence[str], mode: str) -> Gauge:
        return Gauge(name, text, labels, registry=self._registry, multiprocess_mode=mode)  # type: ignore[arg-type]

    def _histogram(
        self, name: str, text: str, labels: Sequence[str], edges: Sequence[float]
    ) -> Histogram:
        return Histogram(name, text, labels, registry=self._registry, buckets=edges)

    def _make_request_metrics(self) -> None:
        requests = self._counter(
            "http_requests", "Requests answered", ("method", "endpoint", "status")
        )
        started = self._counter("http_requests_started", "Requests begun", ("endpoint",))
        seconds = self._histogram(
            "http_request_duration_seconds", "Time to answer", ("endpoint",), REQUEST_EDGES
        )
        self._requests = requests
        self._finished = {
            (method, endpoint, status): requests.labels(method, endpoint, str(status))
            for (method, endpoint), statuses in _STATUSES.items()
            for status in statuses
        }
        self._started = {name: started.labels(name) for name in ENDPOINTS}
        self._seconds = {name: seconds.labels(name) for name in ENDPOINTS}
        self._active = self._gauge("http_requests_active", "Requests being answered", (), "livesum")

    def _make_model_metrics(self) -> None:
        self._invalid = self._counter(
            "model_outputs_invalid", "Rows with a value that cannot be right", (*_MODEL, "kind")
        )
        self._classes = self._counter("model_class", "Rows by class", (*_MODEL, "class"))
        self._score = self._histogram("model_score", "Scores", _MODEL, SCORE_EDGES)
        self._rows = self._counter("model_predictions", "Rows answered", _MODEL)
        self._inference = self._histogram(
            "model_inference_duration_seconds", "Time of one inference", _MODEL, INFERENCE_EDGES
        )
        self._errors = self._counter(
            "prediction_errors", "Predictions that failed", (*_MODEL, "error_type")
        )
        self._batch = self._histogram(
            "inference_batch_size", "Rows of one inference", ("model_id",), BATCH_EDGES
        )
        self._depth = self._gauge(
            "inference_queue_depth", "Inferences that run or wait", ("model_id",), "livesum"
        )
        self._rejected = self._counter(
            "inference_rejected", "Inferences refused", ("model_id", "reason")
        )

    def _make_model_facts(self) -> None:
        self._info = self._gauge(
            "model_info", "A loaded model", (*_MODEL, "sha256", "framework"), "livemax"
        )
        self._provider = self._gauge(
            "model_execution_provider",
            "Where a model really runs",
            (*_MODEL, "provider", "gpu_required"),
            "livemax",
        )
        self._ready = self._gauge("model_ready", "1 if the model is ready", _MODEL, "livemin")
        self._load_failures = self._counter(
            "model_load_failures", "Models that could not be made ready", (*_MODEL, "reason")
        )

    def start(self, endpoint: str) -> None:
        """A request has begun."""
        self._started[endpoint].inc()
        self._active.inc()

    def finish(self, method: str, endpoint: str, status: int, seconds: float) -> None:
        """A request has been answered with this status."""
        child = self._finished.get((method, endpoint, status))
        if child is None:
            name = method if method in _METHODS else "other"
            child = self._requests.labels(name, endpoint, str(status))
        child.inc()
        self._seconds[endpoint].observe(seconds)

    def leave(self) -> None:
        """A request is no longer active, answered or not."""
        self._active.dec()

    def model(self, name: str, version: int, classes: Sequence[str] = ()) -> ModelMetrics:
        """The children of one model version; `classes` get one more, "other"."""
        labels = (name, str(version))
        names = (*classes, "other") if classes else ()
        return ModelMetrics(
            invalid={kind: self._invalid.labels(*labels, kind) for kind in _INVALID},
            classes=[self._classes.labels(*labels, each) for each in names],
            score=self._score.labels(*labels),
            rows=self._rows.labels(*labels),
            seconds=self._inference.labels(*labels),
            batch_size=self._batch.labels(name),
            errors={"runtime": self._errors.labels(*labels, "runtime")},
            ready=self._ready.labels(*labels),
        )

    def queue(self, name: str) -> tuple[Gauge, Counter]:
        """Depth of a model's queue, and the inferences refused because it was full."""
        return self._depth.labels(name), self._rejected.labels(name, "queue_full")

    def announce(self, name: str, version: int) -> None:
        """A model version was found: not ready, no failure yet."""
        self._ready.labels(name, str(version)).set(0)
        for reason in _LOAD_FAILURES:
            self._load_failures.labels(name, str(version), reason)

    def load_failed(self, name: str, version: int, reason: str) -> None:
        """A model version could not be made ready; reason is one of a fixed set."""
        self._load_failures.labels(name, str(version), reason).inc()

    def loaded(self, name: str, version: int, sha256: str, framework: str) -> None:
        """A model's bytes are in memory."""
        self._info.labels(name, str(version), sha256, framework).set(1)

    def runs_on(self, name: str, version: int, provider: str, gpu_required: bool) -> None:
        """The provider that ONNX Runtime really took."""
        required = str(gpu_required).lower()
        self._provider.labels(name, str(version), provider, required).set(1)

    def render(self) -> bytes:
        """The text that Prometheus scrapes, of all workers together."""
        if not self._shared:
            return generate_latest(self._registry)
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
        return generate_latest(registry)
