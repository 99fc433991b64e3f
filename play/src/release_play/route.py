"""Stands in for the Gateway's route: one address, each request to stable or to the canary."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

from release_play.open_loop import REQUEST_SECONDS
from release_play.traffic import Split

PASSED_ON = ("Content-Type", "X-API-Key")


class Server(ThreadingHTTPServer):
    """Lets all connections of a load wait: five, the default, would time some of them out."""

    request_queue_size = 128


class Route:
    """Answers on `address` as the side does that the split chooses, until it is closed.

    The traffic of a play chooses by the same split and asks the servers itself: what needs one
    address for both sides is a job that loads the route.
    """

    def __init__(self, split: Callable[[], Split], seed: int = 0):
        draw = random.Random(seed)  # noqa: S311 (the split needs no secrecy)

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_GET(self) -> None:
                self._pass_on(None)

            def do_POST(self) -> None:
                self._pass_on(self.rfile.read(int(self.headers["Content-Length"])))

            def _pass_on(self, body: bytes | None) -> None:
                now = split()
                base = now.canary if now.choose(draw.random()) == "canary" else now.stable
                headers = {k: v for k in PASSED_ON if (v := self.headers[k]) is not None}
                try:
                    status, answer = asked(str(base), self.command, self.path, body, headers)
                except (OSError, HTTPException):
                    status, answer = 503, b"{}"
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: object) -> None:
                """The job tells what it was answered."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        self._thread = threading.Thread(target=self.server.serve_forever, name="route", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Take no more connections."""
        self.server.shutdown()
        self.server.server_close()
        self._thread.join()


def asked(
    base: str, method: str, path: str, body: bytes | None, headers: dict[str, str]
) -> tuple[int, bytes]:
    """Status and body of one request to a server; raises OSError, HTTPException without one."""
    connection = HTTPConnection(str(urlsplit(base).netloc), timeout=REQUEST_SECONDS)
    try:
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()
