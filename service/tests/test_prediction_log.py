"""The prediction log in files: what a record holds, and what crashes and full disks leave."""

import gzip
import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from inference_server.cli import main
from inference_server.observability.metrics import Metrics
from inference_server.observability.prediction_files import PredictionFiles
from inference_server.observability.prediction_log import PredictionLog
from inference_server.observability.prediction_record import (
    SCHEMA_FILE,
    Record,
    read_predictions,
    take,
)
from inference_server.scheduling.batch import Outcome
from jsonschema import Draft202012Validator

from .conftest import wait_until

TRACE = "0af7651916cd43dd8448eb211c80319c"
MODEL: Any = SimpleNamespace(name="flowers", version=3, sha256="a" * 64)
SCHEMA = Draft202012Validator(json.loads(SCHEMA_FILE.read_text()))
NEVER = threading.Event()


def call(number: int = 1) -> Any:
    return SimpleNamespace(
        request_id=f"request-{number}".encode(),
        headers={b"traceparent": f"00-{TRACE}-b7ad6b7169203331-00".encode()},
        span=None,
        client=SimpleNamespace(id="shop"),
    )


def record(number: int = 1, inputs: Any = None, outputs: Any = None) -> Record:
    feeds = inputs or {"x": np.array([[1.5, 2.5]], np.float32)}
    answers = outputs or {"label": np.array([1])}
    return take(call(number), MODEL, feeds, answers, Outcome(answers, None, 0.1, 0.004, 8), 1024)


def files(folder: Path, **limits: Any) -> PredictionFiles:
    usual = {"file_bytes": 2**20, "file_seconds": 3600, "total_bytes": 2**30}
    return PredictionFiles(folder, **(usual | limits))


def numbers(folder: Path) -> list[int]:
    return [int(each["request_id"].split("-")[1]) for each in read_predictions(folder)]


class Recorder:
    """A sink that keeps records, and can be made to wait or to fail."""

    def __init__(self) -> None:
        self.records: list[Record] = []
        self.open = threading.Event()
        self.open.set()
        self.error: Exception | None = None

    def write(self, records: Sequence[Record], closing: threading.Event) -> int:
        self.open.wait(30)
        if self.error is not None:
            raise self.error
        self.records.extend(records)
        return len(records)

    def idle(self) -> None:
        pass

    def close(self) -> None:
        pass


Make = Callable[..., PredictionLog]


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[PredictionLog] = []

    def make(sink: Any, rate: float = 1, metrics: Metrics | None = None) -> PredictionLog:
        made.append(PredictionLog(sink, rate, metrics or Metrics(), room=50))
        return made[-1]

    yield make
    for log in made:
        log.close(1)


def put(log: PredictionLog, number: int = 1) -> None:
    outputs = {"label": np.array([1])}
    outcome = Outcome(outputs, None, 0, 0.004, 1)
    log.record(call(number), MODEL, {"x": np.array([[1.0]])}, outputs, outcome)


def test_a_record_says_who_asked_what_and_what_was_answered() -> None:
    content = json.loads(record().line())
    SCHEMA.validate(content)
    assert content["schema"] == 1
    assert content["request_id"] == "request-1"
    assert content["trace_id"] == TRACE
    assert (content["model"], content["version"], content["sha256"]) == ("flowers", 3, "a" * 64)
    assert content["client"] == "shop"
    assert content["inference_ms"] == 4.0
    assert content["inputs"] == {"x": {"datatype": "FP32", "shape": [1, 2], "data": [1.5, 2.5]}}
    assert content["outputs"] == {"label": {"datatype": "INT64", "shape": [1], "data": [1]}}


@pytest.mark.parametrize(
    ("tensor", "datatype", "data"),
    [
        (np.array([1.5], np.float16), "FP16", [1.5]),
        (np.array([np.nan, np.inf, 1]), "FP64", [None, None, 1.0]),
        (np.array([True, False]), "BOOL", [True, False]),
        (np.array([2**63], np.uint64), "UINT64", [2**63]),
        (np.array([-1], np.int8), "INT8", [-1]),
        (np.array(["ä", "b\0c"], dtype=object), "BYTES", ["ä", "b\ufffdc"]),
        (np.array([b"\xff\x01"], dtype=object), "BYTES", ["\ufffd\x01"]),
        (np.array(["\ud800"], dtype=object), "BYTES", ["?"]),
        (np.array(2.5), "FP64", [2.5]),
        (np.zeros((0, 3)), "FP64", []),
    ],
)
def test_every_datatype_becomes_json(tensor: np.ndarray, datatype: str, data: list[Any]) -> None:
    content = json.loads(record(inputs={"x": tensor}).line())
    SCHEMA.validate(content)
    assert content["inputs"]["x"] == {
        "datatype": datatype,
        "shape": list(tensor.shape),
        "data": data,
    }


def test_of_a_large_tensor_whole_first_rows_are_kept() -> None:
    large = np.arange(100 * 300).reshape(100, 300)
    image = np.zeros((1, 3, 224, 224), np.float32)
    content = json.loads(record(inputs={"x": large, "image": image}).line())
    assert content["inputs"]["x"]["shape"] == [100, 300]
    assert content["inputs"]["x"]["data"] == list(range(900))
    assert content["inputs"]["image"] == {
        "datatype": "FP32",
        "shape": [1, 3, 224, 224],
        "data": [],
    }


def test_long_texts_are_cut() -> None:
    texts = np.array(["x" * 10**6, "short"], dtype=object)
    kept = record(inputs={"x": texts})
    assert len(kept.inputs["x"].values[0]) == 2**15
    content = json.loads(kept.line())
    assert [len(text) for text in content["inputs"]["x"]["data"]] == [2**15, 5]


def test_a_record_keeps_its_values_when_the_buffer_is_used_again() -> None:
    buffer = np.array([[1.0, 2.0]])
    kept = record(inputs={"x": buffer})
    buffer[:] = 0
    assert json.loads(kept.line())["inputs"]["x"]["data"] == [1.0, 2.0]


def test_files_are_rotated_by_size_and_read_in_order(tmp_path: Path) -> None:
    log = files(tmp_path, file_bytes=2000)
    for number in range(40):
        log.write([record(number)], NEVER)
    assert len(list(tmp_path.glob("*.jsonl.gz"))) > 3
    log.close()
    assert not list(tmp_path.glob("*.jsonl"))
    assert numbers(tmp_path) == list(range(40))


def test_files_are_rotated_by_age(tmp_path: Path) -> None:
    log = files(tmp_path, file_seconds=0)
    log.write([record()], NEVER)
    log.idle()
    assert [path.suffix for path in tmp_path.iterdir()] == [".gz"]


def test_the_oldest_archives_make_room_for_new_ones(tmp_path: Path) -> None:
    log = files(tmp_path, file_bytes=1, total_bytes=4000)
    for number in range(60):
        log.write([record(number)], NEVER)
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4000
    left = numbers(tmp_path)
    assert left == list(range(left[0], 60))
    assert 0 < left[0] < 59


def test_a_torn_last_line_is_skipped(tmp_path: Path) -> None:
    whole, torn = record(1).line(), record(2).line()
    (tmp_path / "predictions-1-1.jsonl").write_bytes(whole + torn[:50])
    (tmp_path / "predictions-2-1.jsonl.gz").write_bytes(gzip.compress(record(3).line())[:-12])
    (tmp_path / "predictions-3-1.jsonl").write_bytes(record(4).line())
    assert numbers(tmp_path) in ([1, 4], [1, 3, 4])


def test_a_killed_writer_leaves_whole_lines_that_the_next_one_packs(tmp_path: Path) -> None:
    program = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from tests.test_prediction_log import NEVER, files, record
log = files(Path({str(tmp_path)!r}))
number = 0
while True:
    log.write([record(number + i) for i in range(10)], NEVER)
    number += 10
    print(number, flush=True)
"""
    writer = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    for _ in range(20):
        reached = int(writer.stdout.readline())
    other = files(tmp_path)
    other.idle()
    assert len(list(tmp_path.glob("*.jsonl"))) == 1, "a living writer's file is its own"
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    writer.stdout.close()
    found = numbers(tmp_path)
    assert found == list(range(len(found)))
    assert len(found) >= reached
    other.close()
    files(tmp_path).idle()
    assert [path.suffix for path in tmp_path.iterdir()] == [".gz"]
    assert numbers(tmp_path) == found


def test_a_disk_that_is_full_costs_a_batch_but_no_torn_line(tmp_path: Path) -> None:
    program = f"""
import resource, signal, sys
sys.path.insert(0, {str(Path(__file__).parents[1])!r})
from pathlib import Path
from tests.test_prediction_log import NEVER, files, record
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
log = files(Path({str(tmp_path)!r}))
log.write([record(0)], NEVER)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
try:
    log.write([record(n) for n in range(1, 10)], NEVER)
except OSError:
    print("refused")
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.write([record(10)], NEVER)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "refused\n"
    assert numbers(tmp_path) == [0, 10]


def test_predictions_are_written_without_waiting_for_the_end(tmp_path: Path, make: Make) -> None:
    metrics = Metrics()
    log = make(files(tmp_path), metrics=metrics)
    put(log, 7)
    wait_until(lambda: numbers(tmp_path) == [7])
    wait_until(lambda: metrics.predictions_logged.values == [1])


def test_closing_writes_what_is_waiting(make: Make) -> None:
    sink = Recorder()
    log = make(sink)
    for number in range(30):
        put(log, number)
    log.close()
    assert len(sink.records) == 30
    put(log)
    assert len(sink.records) == 30


def test_a_sink_that_hangs_blocks_no_request_and_drops_are_counted(make: Make) -> None:
    sink, metrics = Recorder(), Metrics()
    sink.open.clear()
    log = make(sink, metrics=metrics)
    for number in range(500):
        put(log, number)
    dropped = metrics.predictions_dropped["queue_full"].values[0]
    assert 350 <= dropped <= 450
    start = time.monotonic()
    log.close(0.1)
    assert time.monotonic() - start < 5
    sink.open.set()


def test_a_sink_that_fails_costs_its_batch_only(make: Make) -> None:
    sink, metrics = Recorder(), Metrics()
    sink.error = OSError("disk full")
    log = make(sink, metrics=metrics)
    put(log)
    wait_until(lambda: metrics.predictions_dropped["failed"].values == [1])
    sink.error = None
    put(log)
    wait_until(lambda: len(sink.records) == 1)


@pytest.mark.parametrize(("rate", "expected"), [(0, 0), (0.25, 25), (1, 100)])
def test_the_rate_decides_what_is_kept(make: Make, rate: float, expected: int) -> None:
    log = make(Recorder(), rate)
    assert sum(log.wants() for _ in range(100)) == expected


def test_nothing_is_kept_without_a_place() -> None:
    assert not PredictionLog(None, 1, Metrics()).wants()


@pytest.mark.parametrize("places", [[], ["--prediction-log-postgres-url=postgresql://x/y"]])
def test_a_rate_without_one_place_is_refused_at_start(
    tmp_path: Path, places: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    folder = [f"--prediction-log-dir={tmp_path}"] if places else []
    options = [f"--model-repository={tmp_path}", "--prediction-log-sample-rate=1"]
    assert main([*options, *places, *folder]) == 2
    assert "PREDICTION_LOG_SAMPLE_RATE" in capsys.readouterr().err
