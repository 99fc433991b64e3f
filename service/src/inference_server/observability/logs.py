"""JSON logs: one event, one line, on standard output."""

import logging
import os
import sys
import time
from datetime import UTC, datetime
from typing import Any

import orjson

_FIELDS = (
    "request_id",
    "trace_id",
    "model_id",
    "model_version",
    "client",
    "method",
    "endpoint",
    "status",
    "duration_ms",
    "input_size",
    "reason",
    "address",
    "sha256",
    "provider",
)


class JsonFormatter(logging.Formatter):
    """Renders a record as one JSON object; `extra=` fields of a known name stand beside it."""

    def __init__(self) -> None:
        super().__init__()
        self._pod = os.environ.get("POD_NAME") or os.environ.get("HOSTNAME", "")

    def format(self, record: logging.LogRecord) -> str:
        """One line of JSON, without a line break inside."""
        moment = datetime.fromtimestamp(record.created, UTC)
        event: dict[str, Any] = {
            "timestamp": moment.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "pod": self._pod,
            "message": record.getMessage(),
            "module": record.module,
            "function": record.funcName,
            "line": record.lineno,
        }
        event.update({name: record.__dict__[name] for name in _FIELDS if name in record.__dict__})
        if record.exc_info:
            event["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(event, default=str).decode()


def configure(level: str) -> None:
    """Send everything, uvicorn's messages included, through the JSON formatter."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(max(logging.getLevelName(level.upper()), logging.WARNING))


class Sampler:
    """Picks every n-th event, so that a rate holds without a random number per request."""

    def __init__(self, rate: float) -> None:
        self._step = rate
        self._sum = 0.0

    def __call__(self) -> bool:
        """Whether this event is one of the sample."""
        self._sum += self._step
        if self._sum < 1:
            return False
        self._sum -= 1
        return True


def milliseconds_since(start: float) -> float:
    """Time since `time.perf_counter()` said `start`, rounded to microseconds."""
    return round((time.perf_counter() - start) * 1000, 3)
