"""HTTP as bytes: what a client may really send, and a strict reading of what comes back."""

import contextlib
import re
import select
import socket
import time
from typing import NamedTuple

_STATUS_LINE = re.compile(rb"HTTP/1\.1 (\d{3}) ?([\x20-\x7e]*)")
_FIELD = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e\x80-\xff]*)")


class Reply(NamedTuple):
    """One response."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key == name), None)


def parse(received: bytes, methods: list[bytes] | None = None) -> tuple[list[Reply], bytes]:
    """The responses in these bytes and what is left of them; raises AssertionError on nonsense.

    `methods` are those of the requests, for HEAD has no body.
    """
    replies: list[Reply] = []
    while True:
        head, end, rest = received.partition(b"\r\n\r\n")
        if not end:
            return replies, received
        line, *fields = head.split(b"\r\n")
        status = _STATUS_LINE.fullmatch(line)
        assert status, f"no status line: {line[:200]!r}"
        headers = []
        for field in fields:
            found = _FIELD.fullmatch(field)
            assert found, f"no header: {field[:200]!r}"
            headers.append((found[1].lower(), found[2]))
        reply = Reply(int(status[1]), headers, b"")
        method = methods[len(replies)] if methods and len(replies) < len(methods) else b""
        if reply.status == 100:
            received = rest
            continue
        body = b""
        if method != b"HEAD" and reply.status not in (204, 304):
            framed = _body(reply, rest)
            if framed is None:
                return replies, received
            body, rest = framed
        replies.append(reply._replace(body=body))
        received = rest


def _body(reply: Reply, rest: bytes) -> tuple[bytes, bytes] | None:
    length = reply.header(b"content-length")
    if length is not None:
        size = int(length)
        return (rest[:size], rest[size:]) if len(rest) >= size else None
    assert reply.header(b"transfer-encoding") == b"chunked", f"no framing: {reply}"
    body = b""
    while True:
        size_line, end, after = rest.partition(b"\r\n")
        if not end or len(after) < int(size_line, 16) + 2:
            return None
        size = int(size_line, 16)
        body, rest = body + after[:size], after[size + 2 :]
        if not size:
            return body, rest


class Talk:
    """One connection: what is to be sent, and what was received."""

    def __init__(
        self, port: int, pieces: list[bytes], expected: int = 1, patience: float = 20
    ) -> None:
        self.pieces = list(pieces)
        self.sent = b"".join(pieces)
        self.expected = expected
        self.patience = patience
        self.received = b""
        self.closed = False
        self.heard = time.monotonic()
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)

    def send(self) -> None:
        """The next piece, or what the socket takes of it."""
        try:
            count = self.socket.send(self.pieces[0])
        except BlockingIOError:
            return
        except OSError:
            self.pieces = []  # the server has closed; what it said is still to be read
            return
        self.heard = time.monotonic()
        self.pieces[0] = self.pieces[0][count:]
        if not self.pieces[0]:
            self.pieces.pop(0)

    def receive(self) -> None:
        try:
            part = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            part = b""
        self.heard = time.monotonic()
        self.received += part
        self.closed = self.closed or not part

    def over(self) -> bool:
        """Whether it is answered or closed, or was silent for too long."""
        if self.closed:
            return True
        silent = time.monotonic() - self.heard > self.patience
        return not self.pieces and (self._answered() or silent)

    def _answered(self) -> bool:
        replies, rest = parse(self.received)
        return len(replies) >= self.expected and not rest


def talk(talks: list[Talk], limit: float = 60) -> None:
    """Send and receive on all connections at once, until each is answered, closed or silent."""
    deadline = time.monotonic() + limit
    running = list(talks)
    while running and time.monotonic() < deadline:
        writing = [each.socket for each in running if each.pieces]
        readable, writable, _ = select.select([each.socket for each in running], writing, [], 0.05)
        for each in running:
            if each.socket in readable:
                each.receive()
            if each.socket in writable and each.pieces and not each.closed:
                each.send()
        running = [each for each in running if not _over(each)]
    for each in talks:
        with contextlib.suppress(OSError):
            each.socket.close()
    assert not running, f"no end within {limit} s: {running[0].sent[:400]!r}"


def _over(each: Talk) -> bool:
    try:
        return each.over()
    except AssertionError:
        return True  # whoever reads it will say so
