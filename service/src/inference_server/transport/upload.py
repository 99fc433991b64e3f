"""The rest of a large body: read from the socket to where it is needed, or to nowhere.

The parser would cut a body into chunks, which are copied four times until they are a tensor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from inference_server.transport.connection import Connection

_NOWHERE = memoryview(bytearray(1 << 16))  # what is written there is never read


class _Instead(asyncio.BufferedProtocol):
    """Stands in for a connection while so many bytes of a body are still to come."""

    def __init__(self, connection: Connection, missing: int) -> None:
        self._connection = connection
        self._missing = missing
        self._switch(self)

    def _switch(self, protocol: asyncio.BaseProtocol) -> None:
        transport = self._connection.transport
        transport.pause_reading()  # a transport that reads would go on with the old one's calls
        transport.set_protocol(protocol)
        transport.resume_reading()

    def buffer_updated(self, nbytes: int) -> None:
        """Give the connection back once everything is there: it may find the next request."""
        self._missing -= nbytes
        if not self._missing:
            self._switch(self._connection)
            self._complete()

    def _complete(self) -> None:
        raise NotImplementedError

    def eof_received(self) -> None:
        """The client sends no more."""
        self._connection.eof_received()

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has left."""
        self._connection.connection_lost(exc)

    def pause_writing(self) -> None:
        """The client does not read."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """The client reads again."""
        self._connection.resume_writing()


class Upload(_Instead):
    """Collects the binary data of a request; `done` gets all of it."""

    def __init__(
        self,
        connection: Connection,
        begun: memoryview,
        size: int,
        done: Callable[[memoryview], None],
    ) -> None:
        """`begun` are the first of `size` bytes."""
        self._data = memoryview(np.empty(size, np.uint8).data)
        self._data[: len(begun)] = begun
        self._done = done
        super().__init__(connection, size - len(begun))

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Where the next bytes belong."""
        return self._data[len(self._data) - self._missing :]

    def _complete(self) -> None:
        data, self._data = self._data, _NOWHERE  # the transport keeps its last protocol's methods
        self._done(data)


class Discard(_Instead):
    """Reads what a refused client sends on, so that it can read the answer and ask again."""

    def __init__(self, connection: Connection, missing: int, done: Callable[[], None]) -> None:
        self._done = done
        super().__init__(connection, missing)

    def get_buffer(self, sizehint: int) -> memoryview:  # noqa: ARG002
        """Nowhere, but no further than to the end of the body."""
        return _NOWHERE[: self._missing]

    def _complete(self) -> None:
        self._done()
