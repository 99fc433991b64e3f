"""What the connections of one process share: the pipeline, the limits, and who is connected."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING

from inference_server.inference.call import Headers
from inference_server.inference.routes import RouteCache
from inference_server.transport.body import BodyLimits

if TYPE_CHECKING:
    from inference_server.inference.pipeline import Pipeline
    from inference_server.security.guard import Guard
    from inference_server.transport.connection import Connection

_log = logging.getLogger(__name__)


class Phase(Enum):
    """What a connection is doing: nothing, sending headers, sending a body, being answered."""

    IDLE = 0
    HEAD = 1
    BODY = 2
    ANSWER = 3


@dataclass(frozen=True)
class Patience:
    """How much of a client's bytes and time the server waits for."""

    head_bytes: int
    request_seconds: int
    idle_seconds: int
    connections: int


@dataclass
class FastLane:
    """The way of inferences around ASGI; `second` is a clock that is cheap to read."""

    pipeline: Pipeline
    guard: Guard
    patience: Patience
    body_limits: BodyLimits
    security_headers: Headers
    draining: bool = False
    second: int = 0
    routes: RouteCache = field(default_factory=RouteCache)
    connections: dict[Connection, None] = field(default_factory=dict)  # in order of arrival
    _dated: tuple[object, bytes] = (None, b"")

    def standard_headers(self, defaults: list[tuple[bytes, bytes]]) -> bytes:
        """Headers of every answer, rendered; `defaults` is a new list once a second."""
        if self._dated[0] is not defaults:
            headers = [*defaults, *self.security_headers]
            self._dated = (defaults, b"".join(b"%b: %b\r\n" % header for header in headers))
        return self._dated[1]

    def join(self, connection: Connection) -> None:
        """Count a connection in; beyond the limit the one that is idle longest has to go.

        Where none is idle, it is the one that has been sending its request longest.
        """
        if len(self.connections) >= self.patience.connections:
            silent = [each for each in self.connections if each.phase is not Phase.ANSWER]
            if silent:
                last = min(silent, key=lambda each: (each.phase is not Phase.IDLE, each.since))
                del self.connections[last]
                last.transport.close()
        self.connections[connection] = None
        self.pipeline.alone = len(self.connections) == 1

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        self.connections.pop(connection, None)
        self.pipeline.alone = len(self.connections) == 1

    async def watch(self) -> None:
        """Once a second, end what takes longer than the limits allow."""
        while True:
            await asyncio.sleep(1)
            self.second += 1
            for connection in list(self.connections):
                try:
                    self._judge(connection)
                except Exception:  # the limits of all others hold on
                    _log.exception("a connection could not be judged")

    def _judge(self, connection: Connection) -> None:
        waited = self.second - connection.since
        if connection.flow.write_paused:
            if self.second - connection.blocked_since > self.patience.request_seconds:
                connection.transport.abort()
        elif connection.phase is Phase.IDLE:
            if waited > self.patience.idle_seconds:
                connection.transport.close()
        elif connection.phase is not Phase.ANSWER and waited > self.patience.request_seconds:
            connection.expire()
