"""The prediction log: a sample of what was asked and answered, for drift work.

Whoever answers a request only copies the first rows and goes on; a thread writes them to files or
to PostgreSQL. What finds no room, or cannot be written, is counted in `prediction_log_dropped`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from inference_server.observability.logs import Sampler
from inference_server.observability.prediction_files import PredictionFiles
from inference_server.observability.prediction_record import Record, take

if TYPE_CHECKING:
    from inference_server.inference.call import Call
    from inference_server.models.model import Model
    from inference_server.models.signature import Tensor
    from inference_server.observability.metrics import Metrics
    from inference_server.scheduling.batch import Outcome
    from inference_server.settings import Settings

_ROOM = 1000
_BATCH = 100
_SECONDS = 1.0  # between two writes where few records come
_MOST_VALUES = 1024

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where records go."""

    def write(self, records: Sequence[Record], closing: threading.Event) -> int:
        """Write records; how many were written. Blocks, raises OSError; gives up on closing."""

    def idle(self) -> None:
        """Called from time to time."""

    def close(self) -> None:
        """No record will follow."""


class PredictionLog:
    """Takes sampled predictions; never blocks a request."""

    def __init__(self, sink: Sink | None, rate: float, metrics: Metrics, room: int = _ROOM) -> None:
        self._sink = sink
        self._sampled = Sampler(rate if sink is not None else 0)
        self._written = metrics.predictions_logged
        self._dropped = metrics.predictions_dropped
        self._room = room
        self._waiting: deque[Record] = deque()
        self._wake = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="prediction-log", daemon=True)
        if sink is not None:
            self._thread.start()

    @classmethod
    def from_settings(cls, settings: Settings, metrics: Metrics) -> PredictionLog:
        """The log that the settings ask for; without a sample rate it takes nothing."""
        rate = settings.prediction_log_sample_rate
        sink: Sink | None = None
        if rate and settings.prediction_log_postgres_url is not None:
            from inference_server.observability.prediction_postgres import PredictionTable

            sink = PredictionTable(settings.prediction_log_postgres_url.get_secret_value())
        elif rate and settings.prediction_log_dir is not None:
            sink = PredictionFiles(
                settings.prediction_log_dir,
                file_bytes=settings.prediction_log_file_bytes,
                file_seconds=settings.prediction_log_file_seconds,
                total_bytes=settings.prediction_log_total_bytes,
            )
        return cls(sink, rate, metrics)

    def wants(self) -> bool:
        """Whether the prediction that has just been made is one of the sample."""
        return self._sampled()

    def record(
        self,
        call: Call,
        model: Model,
        feeds: Mapping[str, Tensor],
        outputs: Mapping[str, Tensor],
        outcome: Outcome,
    ) -> None:
        """Take one prediction, or count it as dropped."""
        if len(self._waiting) >= self._room or self._closing.is_set():
            self._dropped["queue_full"].inc()
            return
        self._waiting.append(take(call, model, feeds, outputs, outcome, _MOST_VALUES))
        if len(self._waiting) == min(_BATCH, self._room):
            self._wake.set()

    def close(self, seconds: float = 5) -> None:
        """Write what is waiting, for so long at most."""
        if self._sink is None:
            return
        self._closing.set()
        self._wake.set()
        self._thread.join(seconds)

    def _work(self) -> None:
        assert self._sink is not None  # noqa: S101
        while self._waiting or not self._closing.is_set():
            if not self._closing.is_set():
                self._wake.wait(_SECONDS)
            self._wake.clear()
            while self._waiting:
                count = min(_BATCH, len(self._waiting))
                self._write([self._waiting.popleft() for _ in range(count)])
            self._attempt(self._sink.idle)
        self._attempt(self._sink.close)

    def _write(self, records: Sequence[Record]) -> None:
        assert self._sink is not None  # noqa: S101
        written = 0
        try:
            written = self._sink.write(records, self._closing)
        except Exception:  # the log must go on, whatever one batch does
            _log.exception("predictions could not be logged")
        self._written.inc(written)
        self._dropped["failed"].inc(len(records) - written)

    @staticmethod
    def _attempt(step: Callable[[], None]) -> None:
        try:
            step()
        except Exception:
            _log.exception("the prediction log could not be tidied")
