"""The log: JSON lines with the fields people search by, and a reader that may be slow."""

import json
import logging
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from inference_server.inference.call import Answer
from inference_server.observability.access import AccessLog
from inference_server.observability.logs import BackgroundHandler
from inference_server.observability.metrics import Metrics
from inference_server.scheduling.batch import Outcome

TRACE = "0af7651916cd43dd8448eb211c80319c"
SECRET = "0.123456"
ALWAYS = {
    "timestamp",
    "level",
    "logger",
    "pod",
    "message",
    "module",
    "function",
    "line",
}
OF_A_REQUEST = {
    "trace_id",
    "request_id",
    "model_id",
    "model_version",
    "input_size",
    "duration_ms",
    "inference_time_ms",
    "queue_ms",
    "batch_rows",
    "client",
    "status",
}


class Pipe:
    """A log written to a pipe, and what comes out of it."""

    def __init__(self, room: int = 100) -> None:
        self.reader, writer = os.pipe()
        self.handler = BackgroundHandler(writer, room)
        self.log = logging.Logger("inference_server.test", logging.INFO)
        self.log.addHandler(self.handler)
        self._data = b""

    def lines(self, count: int) -> list[dict[str, Any]]:
        while self._data.count(b"\n") < count:
            self._data += os.read(self.reader, 65536)
        return [json.loads(line) for line in self._data.split(b"\n")[:-1]]


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe()
    yield pipe
    pipe.handler.close()
    os.close(pipe.reader)


def call(**more: Any) -> Any:
    facts = {
        "endpoint": "infer",
        "path": "/v2/models/flowers/infer",
        "model": "flowers",
        "version": None,
        "headers": {
            b"traceparent": f"00-{TRACE}-b7ad6b7169203331-00".encode(),
            b"x-api-key": b"key-of-a-person",
            b"authorization": b"Bearer key-of-a-person",
        },
        "query": {"mail": "person@example.org"},
        "body": f"[{SECRET}]".encode(),
        "tail": None,
        "request_id": b"request-1",
        "client": SimpleNamespace(id="shop"),
        "span": None,
    }
    return SimpleNamespace(**(facts | more))


def access_line(pipe: Pipe, **more: Any) -> dict[str, Any]:
    access = AccessLog(1)
    logger = logging.getLogger("inference_server.access")
    logger.addHandler(pipe.handler)
    logger.setLevel(logging.INFO)
    try:
        assert access.wants(200)
        outcome = Outcome({}, None, 0.0015, 0.004, 8)
        model: Any = SimpleNamespace(name="flowers", version=3)
        access.write(call(**more), Answer(200, (), b"{}"), 0.00725, outcome, model)
        return pipe.lines(1)[0]
    finally:
        logger.removeHandler(pipe.handler)


def test_the_line_of_a_request_has_every_field(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    line = access_line(pipe)
    assert set(line) >= ALWAYS | OF_A_REQUEST
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", line["timestamp"])
    assert line["trace_id"] == TRACE
    assert line["request_id"] == "request-1"
    assert (line["model_id"], line["model_version"]) == ("flowers", "3")
    assert line["input_size"] == len(SECRET) + 2
    assert line["duration_ms"] == 7.25
    assert line["inference_time_ms"] == 4.0
    assert line["queue_ms"] == 1.5
    assert line["batch_rows"] == 8
    assert line["client"] == "shop"
    assert line["status"] == 200


def test_a_request_is_logged_without_content_keys_or_query(pipe: Pipe) -> None:
    text = json.dumps(access_line(pipe))
    for secret in (SECRET, "key-of-a-person", "example.org"):
        assert secret not in text


def test_an_error_has_its_exception_in_one_line(pipe: Pipe) -> None:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        pipe.log.exception("it broke")
    (line,) = pipe.lines(1)
    assert line["level"] == "error"
    assert line["function"] == "test_an_error_has_its_exception_in_one_line"
    assert line["module"] == "test_logs"
    assert "ValueError: two\nlines" in line["exception"]


def test_the_pod_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POD_NAME", "inference-7")
    pipe = Pipe()
    pipe.log.info("hello")
    assert pipe.lines(1)[0]["pod"] == "inference-7"


def test_what_a_client_sends_cannot_forge_a_line(pipe: Pipe) -> None:
    line = access_line(pipe, model=None, request_id=b'x"}\n{"level":"forged')
    assert line["request_id"] == 'x"}\n{"level":"forged'


def test_a_reader_that_stops_blocks_nobody_and_is_told_what_it_missed() -> None:
    pipe = Pipe(room=50)
    metrics = Metrics()
    pipe.handler.count_drops_in(metrics.log_dropped)
    text = "x" * 1000
    for _ in range(2000):  # far more than a pipe and the queue hold; nobody reads
        pipe.log.info(text)
    dropped = int(metrics.log_dropped.values[0])
    assert dropped > 1500
    missed, lines = 0, []  # type: tuple[int, list[dict[str, Any]]]
    while missed < dropped:  # told once for each time that there was room again
        lines = pipe.lines(len(lines) + 1)
        told = [re.match(r"(\d+) log lines found", line["message"]) for line in lines]
        missed = sum(int(each[1]) for each in told if each)
    assert missed == dropped
    assert len(lines) == 2000 - dropped + sum(each is not None for each in told)
    pipe.log.info("afterwards")
    assert pipe.lines(len(lines) + 1)[-1]["message"] == "afterwards"
    pipe.handler.close()
    os.close(pipe.reader)


def test_a_record_that_cannot_be_rendered_does_not_end_the_log(pipe: Pipe) -> None:
    pipe.log.info("%d rows", "many")
    pipe.log.info("afterwards")
    assert [line["message"] for line in pipe.lines(2)] == [
        "a log record could not be rendered",
        "afterwards",
    ]


def test_lines_of_many_threads_stay_whole() -> None:
    pipe = Pipe(room=10_000)
    threads = [
        threading.Thread(target=lambda n=n: [pipe.log.info("%s-%s", n, i) for i in range(200)])
        for n in range(4)
    ]
    for thread in threads:
        thread.start()
    lines = pipe.lines(800)
    messages = [line["message"] for line in lines]
    assert sorted(messages) == sorted(f"{n}-{i}" for n in range(4) for i in range(200))
    for n in range(4):
        assert [m for m in messages if m.startswith(f"{n}-")] == [f"{n}-{i}" for i in range(200)]
    pipe.handler.close()


def test_what_is_waiting_is_written_at_exit() -> None:
    program = (
        "import logging; from inference_server.observability import logs;"
        "logs.configure('info');"
        "[logging.getLogger('x').info('line %s', n) for n in range(5000)]"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    lines = [json.loads(line)["message"] for line in done.stdout.splitlines()]
    assert lines == [f"line {n}" for n in range(5000)]


def test_exit_does_not_wait_for_a_reader_that_never_reads() -> None:
    program = (
        "import logging; from inference_server.observability import logs;"
        "logs.configure('info');"
        "[logging.getLogger('x').info('y' * 1000) for n in range(5000)]"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.wait(20) == 0
    assert process.stdout is not None
    process.stdout.close()


def test_a_server_error_is_logged_whatever_the_rate() -> None:
    access = AccessLog(0)
    assert access.wants(500)
    assert not any(access.wants(status) for status in (200, 404, 429))


def test_closing_writes_what_is_waiting(pipe: Pipe) -> None:
    for number in range(10):
        pipe.log.info("%s", number)
    pipe.handler.close()
    assert len(pipe.lines(10)) == 10
    start = time.monotonic()
    pipe.handler.flush()
    assert time.monotonic() - start < 2  # what a flush waits at most


def test_a_forked_process_starts_a_log_of_its_own() -> None:
    program = """
import logging, os
from inference_server.observability import logs
logs.configure('info')
logging.getLogger('x').info('before')
logging.getLogger().handlers[0].flush()
child = os.fork()
logs.configure('info')
logging.getLogger('x').info('child' if child == 0 else 'parent')
logging.shutdown()
if child == 0:
    os._exit(0)
os.waitpid(child, 0)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    lines = [json.loads(line)["message"] for line in done.stdout.splitlines()]
    assert lines[0] == "before"
    assert sorted(lines[1:]) == ["child", "parent"]
