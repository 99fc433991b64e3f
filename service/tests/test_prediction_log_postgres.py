"""The prediction log in a real PostgreSQL."""

import os
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pytest
from inference_server.observability.metrics import Metrics
from inference_server.observability.prediction_log import PredictionLog
from inference_server.observability.prediction_postgres import PredictionTable

from .conftest import free_port, wait_until
from .test_prediction_log import NEVER, put, record

pytestmark = pytest.mark.skipif(
    shutil.which("initdb") is None or shutil.which("postgres") is None,
    reason="needs initdb and postgres on the PATH (Debian: postgresql)",
)


class Database:
    """A PostgreSQL server of its own, which can be stopped and started."""

    def __init__(self, folder: Path) -> None:
        self._port = free_port()
        self._folder = folder / "data"
        self._process: subprocess.Popen[bytes] | None = None
        # PostgreSQL refuses to run as root
        self._user: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
        if self._user:
            shutil.chown(folder, "nobody")
        subprocess.run(
            ["initdb", "--pgdata", self._folder, "--username=log", "--auth=trust", "--no-sync"],
            check=True,
            stdout=subprocess.DEVNULL,
            **self._user,
        )
        self.url = f"postgresql://log@127.0.0.1:{self._port}/postgres"

    def start(self) -> None:
        self._process = subprocess.Popen(
            ["postgres", "-D", self._folder, "-p", str(self._port), "-k", "", "-F"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            **self._user,
        )
        wait_until(self._answers)

    def _answers(self) -> bool:
        try:
            psycopg.connect(self.url, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    def stop(self) -> None:
        if self._process is not None:
            self._process.send_signal(3)  # SIGQUIT: at once, as a crash
            self._process.wait(30)
            self._process = None

    def rows(self, what: str = "*") -> list[Any]:
        with psycopg.connect(self.url) as connection:
            query = f"SELECT {what} FROM prediction_log ORDER BY at, request_id"
            return connection.execute(query.encode()).fetchall()


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    folder = Path(f"/tmp/prediction-log-{os.getpid()}")  # pytest's own folders are root's only
    folder.mkdir()
    database = Database(folder)
    database.start()
    yield database
    database.stop()
    shutil.rmtree(folder)


@pytest.fixture
def database(server: Database) -> Database:
    with psycopg.connect(server.url) as connection:
        connection.execute("DROP TABLE IF EXISTS prediction_log")
    return server


def test_records_become_rows_of_a_table_that_is_made(database: Database) -> None:
    table = PredictionTable(database.url)
    assert table.write([record(1), record(2)], NEVER) == 2
    table.close()
    rows = database.rows(
        "schema, request_id, model, version, client, inputs, outputs, inference_ms"
    )
    assert rows[0] == (
        1,
        "request-1",
        "flowers",
        3,
        "shop",
        {"x": {"datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]}},
        {"label": {"datatype": "INT64", "shape": [1], "data": [1]}},
        4.0,
    )
    assert len(rows) == 2
    (at,) = database.rows("extract(epoch from now() - at)")[0]
    assert 0 <= float(at) < 60


def test_values_that_json_or_postgresql_do_not_have_are_replaced(database: Database) -> None:
    strange = {
        "text": np.array(["a\0b", "\ud800", 'tab\t"quote"\\'], dtype=object),
        "number": np.array([np.nan, np.inf, 1.5]),
    }
    table = PredictionTable(database.url)
    assert table.write([record(1, inputs=strange)], NEVER) == 1
    table.close()
    ((inputs,),) = database.rows("inputs")
    assert inputs["text"]["data"] == ["a\ufffdb", "?", 'tab\t"quote"\\']
    assert inputs["number"]["data"] == [None, None, 1.5]


def test_a_record_that_the_database_refuses_costs_the_others_nothing(database: Database) -> None:
    table = PredictionTable(database.url)
    bad = record(2)._replace(version=2**40)
    assert table.write([record(1), bad, record(3)], NEVER) == 2
    table.close()
    assert database.rows("request_id") == [("request-1",), ("request-3",)]


def test_workers_may_make_the_table_at_once(database: Database) -> None:
    written: list[int] = []

    def work() -> None:
        table = PredictionTable(database.url)
        written.append(table.write([record()], NEVER))
        table.close()

    threads = [threading.Thread(target=work) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert written == [1] * 6
    assert len(database.rows()) == 6


def test_a_database_that_comes_back_gets_what_waited(database: Database) -> None:
    metrics = Metrics()
    log = PredictionLog(PredictionTable(database.url, longest_pause=0.1), 1, metrics)
    put(log, 1)
    wait_until(lambda: metrics.predictions_logged.values == [1])
    database.stop()
    try:
        put(log, 2)
        wait_until(lambda: not log._waiting)
    finally:
        database.start()
    wait_until(lambda: metrics.predictions_logged.values == [2])
    log.close()
    assert database.rows("request_id") == [("request-1",), ("request-2",)]


def test_closing_does_not_wait_for_a_database_that_is_away() -> None:
    metrics = Metrics()
    url = f"postgresql://log@127.0.0.1:{free_port()}/postgres"
    log = PredictionLog(PredictionTable(url), 1, metrics)
    put(log)
    start = time.monotonic()
    log.close(10)
    assert time.monotonic() - start < 8
    assert metrics.predictions_dropped["failed"].values == [1]
