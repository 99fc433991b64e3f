"""Serves bare Git repositories by smart HTTP: clone, fetch and push, by git's own http-backend."""

from __future__ import annotations

import argparse
import gzip
import os
import re
import subprocess
from collections.abc import Iterator
from email.message import Message
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BufferedIOBase
from pathlib import Path
from urllib.parse import urlsplit

# Smart HTTP and nothing else: no loose objects, no other file of the folder.
ENDPOINTS = {
    "GET": re.compile(r"/[a-z0-9][a-z0-9-]*\.git/info/refs"),
    "POST": re.compile(r"/[a-z0-9][a-z0-9-]*\.git/git-(upload|receive)-pack"),
}
# Longer than any clone of a repository like this, shorter than a person's patience.
BACKEND_SECONDS = 120
SOCKET_SECONDS = 60


def allowed(method: str, path: str) -> bool:
    """Whether `path` (without its query) is an endpoint of the protocol."""
    pattern = ENDPOINTS.get(method)
    return pattern is not None and pattern.fullmatch(path) is not None


def git_environment() -> dict[str, str]:
    """No configuration of this machine or person: every clone sees the same repository."""
    return {
        "PATH": os.environ["PATH"],
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": os.devnull,
    }


def backend_environment(
    folder: Path, method: str, target: str, headers: Message[str, str]
) -> dict[str, str]:
    """The variables by which git http-backend learns of a request."""
    url = urlsplit(target)
    return git_environment() | {
        "GIT_PROJECT_ROOT": str(folder),
        "GIT_HTTP_EXPORT_ALL": "1",
        "GIT_PROTOCOL": headers.get("Git-Protocol", ""),
        "REQUEST_METHOD": method,
        "PATH_INFO": url.path,
        "QUERY_STRING": url.query,
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        # git takes pushes only from a named person.
        "REMOTE_USER": "local",
        "REMOTE_ADDR": "",
    }


def request_body(headers: Message[str, str], stream: BufferedIOBase) -> bytes:
    """The body that a git client sends: of known length or in chunks, plain or compressed."""
    if headers.get("Transfer-Encoding", "").lower() == "chunked":
        body = b"".join(_chunks(stream))
    else:
        body = stream.read(_length(headers.get("Content-Length") or "0"))
    return gzip.decompress(body) if headers.get("Content-Encoding") == "gzip" else body


def _length(text: str, base: int = 10) -> int:
    """ValueError also for a negative one, which would read until the client hangs up."""
    if (length := int(text, base)) < 0:
        raise ValueError(f"{text} is no length")
    return length


def _chunks(stream: BufferedIOBase) -> Iterator[bytes]:
    while size := _length(stream.readline().split(b";")[0].decode("ascii"), 16):
        yield stream.read(size)
        stream.readline()
    stream.readline()


class GitServer(ThreadingHTTPServer):
    """Serves the bare repositories directly below `folder` to whoever reaches `address`."""

    daemon_threads = True

    def __init__(self, folder: Path, address: tuple[str, int]):
        self.folder = folder
        super().__init__(address, _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = SOCKET_SECONDS
    server: GitServer

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        if not allowed(self.command, urlsplit(self.path).path):
            self.close_connection = True
            self.send_error(HTTPStatus.NOT_FOUND, "no such repository or endpoint")
            return
        try:
            body = request_body(self.headers, self.rfile)
        except (ValueError, OSError, EOFError):
            self.close_connection = True
            self.send_error(HTTPStatus.BAD_REQUEST, "the request's body cannot be read")
            return
        try:
            self._send(self._backend(body))
        except subprocess.TimeoutExpired:
            self.send_error(HTTPStatus.GATEWAY_TIMEOUT, f"git took over {BACKEND_SECONDS} s")

    def _backend(self, body: bytes) -> bytes:
        environment = backend_environment(
            self.server.folder, self.command, self.path, self.headers
        ) | {"CONTENT_LENGTH": str(len(body))}
        result = subprocess.run(
            ["git", "http-backend"],
            input=body,
            capture_output=True,
            env=environment,
            timeout=BACKEND_SECONDS,
            check=False,
        )
        if result.stderr:
            self.log_message("%s", result.stderr.decode(errors="replace").strip())
        return result.stdout

    def _send(self, answer: bytes) -> None:
        """Turn the backend's CGI answer into HTTP."""
        head, _, body = answer.partition(b"\r\n\r\n")
        headers = [line.split(": ", 1) for line in head.decode("latin-1").split("\r\n") if line]
        status = next((value for name, value in headers if name == "Status"), "200 OK")
        self.send_response(int(status.split()[0]) if head else HTTPStatus.INTERNAL_SERVER_ERROR)
        for name, value in headers:
            if name not in ("Status", "Content-Length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Serve until the process is ended."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, required=True, help="holds NAME.git repositories")
    parser.add_argument("--address", required=True)
    parser.add_argument("--port", type=int, required=True)
    arguments = parser.parse_args()
    GitServer(arguments.folder.resolve(), (arguments.address, arguments.port)).serve_forever()


if __name__ == "__main__":
    main()
