"""JSON logs: one event, one line, on standard output, written by a thread of their own.

Whoever logs hands the record over and goes on, even where the reader of a full pipe does not: what
finds no room is counted, and said once there is room again. What is waiting is written at exit.
"""

import logging
import os
import sys
import threading
import time
from collections import deque
from datetime import UTC, datetime
from typing import Any, Protocol

import orjson

_FIELDS = (
    "request_id",
    "trace_id",
    "model_id",
    "model_version",
    "client",
    "action",
    "result",
    "method",
    "endpoint",
    "status",
    "duration_ms",
    "inference_time_ms",
    "queue_ms",
    "batch_rows",
    "input_size",
    "output_size",
    "reason",
    "address",
    "sha256",
    "provider",
)
_ROOM = 10_000
_LINES_A_WRITE = 100
_GATHER_SECONDS = 0.1  # a thread that wakes for each line costs the event loop a fifth of its time
_PATIENCE_AT_EXIT = 2


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
        return orjson.dumps(event, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


class Counted(Protocol):
    """A counter of the metrics."""

    def inc(self, amount: float = 1) -> None:
        """Count `amount` more."""


class BackgroundHandler(logging.Handler):
    """Writes lines to a file descriptor in a thread; keeps at most `room` of them waiting."""

    def __init__(self, descriptor: int, room: int = _ROOM) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self._descriptor = descriptor
        self._room = room
        self._waiting: deque[logging.LogRecord] = deque()
        self._wake = threading.Event()
        self._idle = threading.Event()
        self._process = os.getpid()
        self._hurry = threading.Event()
        self._closing = False
        self._dropped = 0
        self._counter: Counted | None = None
        threading.Thread(target=self._work, name="logs", daemon=True).start()

    def count_drops_in(self, counter: Counted) -> None:
        """Count lines that find no room in this metric as well."""
        self._counter = counter

    def emit(self, record: logging.LogRecord) -> None:
        """Take a record, or count it as dropped; blocks for nothing."""
        if len(self._waiting) >= self._room:
            self._dropped += 1
            if self._counter is not None:
                self._counter.inc()
            return
        self._waiting.append(record)
        if len(self._waiting) == 1:
            self._wake.set()
        if record.levelno >= logging.WARNING or len(self._waiting) == _LINES_A_WRITE:
            self._hurry.set()

    def flush(self) -> None:
        """Wait until all is written, for two seconds at most; `logging` does so at exit."""
        self._hurry.set()
        patience = time.monotonic() + _PATIENCE_AT_EXIT
        while (self._waiting or not self._idle.is_set()) and time.monotonic() < patience:
            time.sleep(0.001)

    def close(self) -> None:
        """Write what is waiting, and end the thread."""
        self._closing = True
        if self._process == os.getpid():  # a fork has no thread, and may have a lock for ever
            self._wake.set()
            self._hurry.set()
        super().close()

    def _work(self) -> None:
        while self._waiting or not self._closing:
            if not self._waiting:
                self._idle.set()
                self._wake.wait()
                self._wake.clear()
                self._hurry.wait(_GATHER_SECONDS)
                self._hurry.clear()
            self._idle.clear()
            lines = [self._take() for _ in range(min(_LINES_A_WRITE, len(self._waiting)))]
            if self._dropped:
                dropped, self._dropped = self._dropped, 0
                lines.append(self._line(_lost(dropped)))
            self._write(b"".join(lines))
        self._idle.set()

    def _take(self) -> bytes:
        return self._line(self._waiting.popleft())

    def _line(self, record: logging.LogRecord) -> bytes:
        try:
            return self.format(record).encode() + b"\n"
        except Exception:  # a record that cannot be rendered must not end the log
            return self.format(_unreadable(record)).encode() + b"\n"

    def _write(self, data: bytes) -> None:
        while data:
            try:
                data = data[os.write(self._descriptor, data) :]
            except BlockingIOError:
                time.sleep(0.01)  # somebody has made the pipe non-blocking
            except OSError:
                return  # nobody reads any more


def _lost(lines: int) -> logging.LogRecord:
    message = f"{lines} log lines found no room"
    return logging.LogRecord(__name__, logging.WARNING, __file__, 0, message, (), None)


def _unreadable(record: logging.LogRecord) -> logging.LogRecord:
    message = "a log record could not be rendered"
    return logging.LogRecord(
        record.name, record.levelno, record.pathname, record.lineno, message, (), None
    )


def configure(level: str) -> None:
    """Send everything, uvicorn's messages included, through the JSON formatter."""
    handler = BackgroundHandler(sys.stdout.fileno())
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    for name in ("uvicorn", "uvicorn.error"):
        logging.getLogger(name).setLevel(max(logging.getLevelName(level.upper()), logging.WARNING))


def count_drops_in(counter: Counted) -> None:
    """Count the lines that find no room in this metric."""
    for handler in logging.getLogger().handlers:
        if isinstance(handler, BackgroundHandler):
            handler.count_drops_in(counter)


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
