"""A test double of Prometheus: each query of a run is answered with the next line of its script."""

import json
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit

#: Requests that are closer than this belong to one round of measurements of a run, and a query
#: that comes again is a measurement taken again, as the controller does on a stale cache.
ROUND_SECONDS = 3.0
#: A round that begins later in a second is answered in the next one: the controller keeps whole
#: seconds, and what it measured together would otherwise be due a second apart, or at once.
LATEST_IN_A_SECOND = 0.6


@dataclass(frozen=True)
class Answer:
    """One response: status, body, and how long it is held back."""

    body: str
    status: int = 200
    delay: float = 0.0


def success(data: object, **more: object) -> Answer:
    """Answer a query with data of the HTTP API."""
    return Answer(json.dumps({"status": "success", "data": data, **more}))


def vector(*values: str, **more: object) -> Answer:
    """Answer with a vector of these sample values."""
    result = [
        {"metric": {"number": str(number)}, "value": [1700000000.123, value]}
        for number, value in enumerate(values)
    ]
    return success({"resultType": "vector", "result": result}, **more)


def scalar(value: str) -> Answer:
    """Answer with a scalar."""
    return success({"resultType": "scalar", "result": [1700000000.123, value]})


def matrix(*series: Sequence[str]) -> Answer:
    """Answer with a matrix: one list of values for each series."""
    result = [
        {
            "metric": {"number": str(number)},
            "values": [[1700000000 + at, value] for at, value in enumerate(values)],
        }
        for number, values in enumerate(series)
    ]
    return success({"resultType": "matrix", "result": result})


def refused(status: int, kind: str, reason: str) -> Answer:
    """Answer as Prometheus refuses a query."""
    body = json.dumps({"status": "error", "errorType": kind, "error": reason})
    return Answer(body, status)


OVER = refused(422, "execution", "the script is over")
UNKNOWN = refused(422, "execution", "no script has this query")


@dataclass
class Script:
    """The answers to each query of one run, and when which query was first asked for them.

    In real time an answer is given again to a query that comes again within a round.
    """

    answers: Mapping[str, Sequence[Answer]]
    real_time: bool = True
    asked: list[tuple[float, str]] = field(default_factory=list)
    _given: dict[str, int] = field(default_factory=dict)
    _released: dict[str, float] = field(default_factory=dict)
    _release: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def next(self, query: str) -> tuple[Answer, float]:
        """Take the next answer to a query, and the time at which it is due."""
        with self._lock:
            now = time.time()
            if self.real_time and now - self._release > ROUND_SECONDS:
                second, part = divmod(now, 1)
                self._release = now if part < LATEST_IN_A_SECOND else second + 1.005
            due = max(now, self._release)
            again = self.real_time and due - self._released.get(query, 0.0) <= ROUND_SECONDS
            if not again:
                self.asked.append((due, query))
                self._given[query] = self._given.get(query, 0) + 1
            answer = self._answer(query)
            self._released[query] = due + answer.delay
            return answer, due + answer.delay

    def _answer(self, query: str) -> Answer:
        script = self.answers.get(query)
        if script is None:
            return UNKNOWN
        number = self._given[query] - 1
        return script[number] if number < len(script) else OVER


class ScriptedPrometheus:
    """Serves many scripts at `<address>/<key>/api/v1/query`; usable as a context manager."""

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self._scripts: dict[str, Script] = {}
        self._server = _Server((host, port), self._scripts)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()

    def address(self, key: str) -> str:
        """Base URL of one script."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}/{key}"

    def play(self, key: str, script: Script) -> str:
        """Serve a script under a key; gives its base URL."""
        self._scripts[key] = script
        return self.address(key)

    def script(self, key: str) -> Script:
        """What is served under a key, and how far it was asked."""
        return self._scripts[key]


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 1024

    def __init__(self, address: tuple[str, int], scripts: Mapping[str, Script]) -> None:
        self.scripts = scripts
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_POST(self) -> None:
        """Answer a query whose parameters stand in the body."""
        length = int(self.headers.get("Content-Length") or 0)
        self._answer(parse_qs(self.rfile.read(length).decode()))

    def do_GET(self) -> None:
        """Answer a query whose parameters stand in the address."""
        self._answer(parse_qs(urlsplit(self.path).query))

    def _answer(self, form: Mapping[str, Sequence[str]]) -> None:
        key, _, path = urlsplit(self.path).path.lstrip("/").partition("/api/v1/")
        script = self.server.scripts.get(key)
        if script is None or path != "query" or "query" not in form:
            self._send(refused(404, "not_found", "no such script"))
            return
        answer, due = script.next(form["query"][0])
        time.sleep(max(0.0, due - time.time()))
        self._send(answer)

    def _send(self, answer: Answer) -> None:
        body = answer.body.encode()
        try:
            self.send_response(answer.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
        except OSError:
            # Whoever asked has given up, as a scripted timeout wants it to.
            self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Keep the test's output clean."""
