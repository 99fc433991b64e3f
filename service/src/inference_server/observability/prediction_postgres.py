"""The prediction log in PostgreSQL: table `prediction_log`, filled by COPY in batches.

A batch is one transaction and is tried again until the database takes it, so a record can be there
twice where a connection broke between its commit and the answer; `request_id` tells.
"""

import logging
import threading
from collections.abc import Sequence

import orjson
import psycopg

from inference_server.observability.prediction_record import Record

_TABLE = """
CREATE TABLE IF NOT EXISTS prediction_log (
    schema smallint NOT NULL,
    at timestamptz NOT NULL,
    request_id text NOT NULL,
    trace_id text,
    model text NOT NULL,
    version integer NOT NULL,
    sha256 text NOT NULL,
    client text,
    inference_ms double precision NOT NULL,
    inputs jsonb NOT NULL,
    outputs jsonb NOT NULL
);
CREATE INDEX IF NOT EXISTS prediction_log_at ON prediction_log (model, version, at);
"""
_COLUMNS = (
    "schema",
    "at",
    "request_id",
    "trace_id",
    "model",
    "version",
    "sha256",
    "client",
    "inference_ms",
    "inputs",
    "outputs",
)
_COPY = f"COPY prediction_log ({', '.join(_COLUMNS)}) FROM STDIN"
_LOCK = 0x70726564  # two workers must not create the table at once
_FIRST_PAUSE = 0.5
_LONGEST_PAUSE = 30.0

_log = logging.getLogger(__name__)


class PredictionTable:
    """Connects when the first batch comes, and again when the connection is lost."""

    def __init__(self, url: str, *, longest_pause: float = _LONGEST_PAUSE) -> None:
        self._url = url
        self._longest_pause = longest_pause
        self._connection: psycopg.Connection | None = None

    def write(self, records: Sequence[Record], closing: threading.Event) -> int:
        """Insert records; tries until it has succeeded, once more only when closing."""
        pause = _FIRST_PAUSE
        while True:
            last = closing.is_set()
            try:
                return self._insert(records)
            except psycopg.OperationalError as error:
                self.close()
                if last:
                    return 0
                reason = " ".join(str(error).split())[:200]
                _log.warning("PostgreSQL does not take predictions", extra={"reason": reason})
                closing.wait(pause)
                pause = min(2 * pause, self._longest_pause)

    def idle(self) -> None:
        """Nothing to tidy."""

    def close(self) -> None:
        """Leave the database."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _insert(self, records: Sequence[Record]) -> int:
        try:
            self._copy(records)
        except psycopg.OperationalError:
            raise
        except psycopg.Error:
            if len(records) == 1:
                _log.exception("PostgreSQL refuses a prediction")
                return 0
            return sum(self._insert([record]) for record in records)
        return len(records)

    def _copy(self, records: Sequence[Record]) -> None:
        connection = self._connect()
        with connection.transaction(), connection.cursor() as cursor, cursor.copy(_COPY) as copy:
            for record in records:
                content = record.content()
                for name in ("inputs", "outputs"):
                    content[name] = orjson.dumps(content[name]).decode()
                copy.write_row([content[name] for name in _COLUMNS])

    def _connect(self) -> psycopg.Connection:
        if self._connection is None:
            self._connection = psycopg.connect(
                self._url,
                autocommit=True,
                connect_timeout=5,
                tcp_user_timeout=10_000,
                application_name="inference-server",
            )
            with self._connection.transaction():
                self._connection.execute("SELECT pg_advisory_xact_lock(%s)", [_LOCK])
                self._connection.execute(_TABLE)
        return self._connection
