"""The metrics of the service: names, labels, edges, and what exists before the first request."""

from inference_server.observability.series import Family

ENDPOINTS = ("infer", "predict", "health", "metadata", "admin", "metrics", "other")
REJECTIONS = (
    "queue_full",
    "deadline",
    "draining",
    "not_ready",
    "rate_limit",
    "unauthorized",
    "invalid",
)
LOAD_FAILURES = (
    "missing",
    "hash",
    "file",
    "config",
    "signature",
    "member",
    "memory",
    "warm_up",
    "gpu",
    "timeout",
    "quarantine",
)
INVALID_KINDS = ("nan", "inf", "out_of_range")
ERROR_KINDS = ("runtime", "hang", "memory")
DROP_REASONS = ("queue_full", "failed")
EXIT_REASONS = ("SIGKILL", "SIGSEGV", "SIGABRT", "exit status 1")  # there are others

_INFERENCE = (200, 400, 401, 403, 404, 408, 413, 415, 429, 499, 500, 503, 504)
STATUSES = {
    ("POST", "infer"): _INFERENCE,
    ("POST", "predict"): _INFERENCE,
    ("POST", "admin"): (200, 400, 401, 403, 404, 500, 503),
    ("GET", "health"): (200, 404, 500, 503),
    ("GET", "metadata"): (200, 401, 404, 500),
    ("GET", "metrics"): (200, 401, 500),
    ("GET", "other"): (200, 404, 500),
}

REQUEST_EDGES = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
INFERENCE_EDGES = (0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
LOAD_EDGES = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)
BATCH_EDGES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
SCORE_EDGES = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)

_ID = ("model_id",)
_MODEL = ("model_id", "model_version")

REQUESTS = Family("http_requests", "Requests answered", "counter", ("method", "endpoint", "status"))
STARTED = Family("http_requests_started", "Requests begun", "counter", ("endpoint",))
REQUEST_ERRORS = Family(
    "http_request_errors", "Requests answered with a 5xx", "counter", ("endpoint",)
)
REQUEST_SECONDS = Family(
    "http_request_duration_seconds", "Time to answer", "histogram", ("endpoint",), REQUEST_EDGES
)
ACTIVE = Family("http_requests_active", "Requests being answered", "gauge")

INVALID = Family(
    "model_outputs_invalid",
    "Rows with a value that cannot be right",
    "counter",
    (*_MODEL, "kind"),
)
CLASSES = Family("model_class", "Rows by class", "counter", (*_MODEL, "class"))
SCORE = Family("model_score", "Scores", "histogram", _MODEL, SCORE_EDGES)
ROWS = Family("model_predictions", "Rows answered", "counter", _MODEL)
INFERENCE = Family(
    "model_inference_duration_seconds",
    "Time of one inference",
    "histogram",
    _MODEL,
    INFERENCE_EDGES,
)
ERRORS = Family("prediction_errors", "Predictions that failed", "counter", (*_MODEL, "error_type"))
READY = Family("model_ready", "1 if the model is ready", "gauge", _MODEL, merge="min")
FAILED_LOADS = Family(
    "model_load_failures",
    "Models that could not be made ready",
    "counter",
    (*_MODEL, "reason"),
)
INFO = Family(
    "model_info", "A loaded model", "gauge", (*_MODEL, "sha256", "framework"), merge="max"
)
PROVIDER = Family(
    "model_execution_provider",
    "Where a model really runs",
    "gauge",
    (*_MODEL, "provider", "gpu_required"),
    merge="max",
)
DEVICE = Family(
    "model_device", "The device that holds a model", "gauge", (*_MODEL, "device"), merge="max"
)
FALLBACK = Family(
    "model_execution_fallback",
    "1 if a model runs on another provider than asked for",
    "gauge",
    _MODEL,
    merge="max",
)
MEMORY = Family("model_memory_bytes", "Memory of a loaded model, all workers", "gauge", _MODEL)

VERSION = Family("model_version", "Highest version in memory", "gauge", _ID, merge="max")
LOAD_SECONDS = Family(
    "model_load_duration_seconds",
    "Time from file to ready",
    "histogram",
    _ID,
    LOAD_EDGES,
)
EVICTIONS = Family("model_evictions", "Times a model gave up its memory", "counter", _ID)
BATCH_SIZE = Family("inference_batch_size", "Rows of one inference", "histogram", _ID, BATCH_EDGES)
BATCH_REQUESTS = Family(
    "inference_batch_requests", "Requests of one inference", "histogram", _ID, BATCH_EDGES
)
QUEUE_SECONDS = Family(
    "inference_queue_duration_seconds",
    "Time from a request's submission to its inference",
    "histogram",
    _ID,
    INFERENCE_EDGES,
)
DEPTH = Family("inference_queue_depth", "Requests that wait for an inference", "gauge", _ID)
REJECTED = Family("inference_rejected", "Inferences refused", "counter", (*_ID, "reason"))
HANGS = Family("inference_hangs", "Inferences that did not come back in time", "counter", _ID)
CACHE_HITS = Family("inference_cache_hits", "Answers from the response cache", "counter", _ID)
CACHE_MISSES = Family("inference_cache_misses", "Answers not in the cache", "counter", _ID)

LOG_DROPPED = Family("log_lines_dropped", "Log lines that found no room", "counter")
SPANS_EXPORTED = Family("trace_spans_exported", "Spans the collector took", "counter")
SPANS_DROPPED = Family("trace_spans_dropped", "Spans that found no room or no taker", "counter")
PREDICTIONS_LOGGED = Family("prediction_log_records", "Records written", "counter")
PREDICTIONS_DROPPED = Family(
    "prediction_log_dropped", "Records not written", "counter", ("reason",)
)
RESTARTS = Family("worker_restarts", "Workers that ended and were replaced", "counter")
EXITS = Family("worker_exits", "Workers that ended unexpectedly", "counter", ("reason",))

REQUEST_FAMILIES = (REQUESTS, STARTED, REQUEST_ERRORS, REQUEST_SECONDS, ACTIVE)
FACTS = (INFO, PROVIDER, DEVICE, FALLBACK, MEMORY)
OF_A_VERSION = (INVALID, CLASSES, SCORE, ROWS, INFERENCE, ERRORS, READY, FAILED_LOADS, *FACTS)
COUNTED_BY_MODEL = (EVICTIONS, HANGS, CACHE_HITS, CACHE_MISSES)
OF_A_MODEL = (
    VERSION,
    LOAD_SECONDS,
    BATCH_SIZE,
    BATCH_REQUESTS,
    QUEUE_SECONDS,
    DEPTH,
    REJECTED,
    *COUNTED_BY_MODEL,
)
OF_THE_SERVICE = (
    LOG_DROPPED,
    SPANS_EXPORTED,
    SPANS_DROPPED,
    PREDICTIONS_LOGGED,
    PREDICTIONS_DROPPED,
    EXITS,
)
FAMILIES = (*REQUEST_FAMILIES, *OF_A_VERSION, *OF_A_MODEL, *OF_THE_SERVICE, RESTARTS)
