"""uvicorn's server as one of our processes: how it gets connections, and how it ends."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn

from inference_server.supervisor.place import here

LINGER = 1.0
_SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Connections(set[Any]):
    """The open connections; each one that goes is told to whoever deals them out."""

    def __init__(self) -> None:
        super().__init__()
        self._gone = asyncio.Event()

    def discard(self, connection: Any) -> None:
        """The connection is closed."""
        if connection in self:
            here().close_one()
        super().discard(connection)
        if not self:
            self._gone.set()

    async def wait_for_none(self) -> None:
        """Until the last connection is closed."""
        while self:
            self._gone.clear()
            await self._gone.wait()


class Server(uvicorn.Server):
    """Serves a listening socket, or what a supervisor sends through `channel`."""

    def __init__(
        self, config: uvicorn.Config, linger: float, channel: socket.socket | None = None
    ) -> None:
        super().__init__(config)
        self._channel = channel
        self._linger = min(linger, LINGER)
        self._tasks: set[asyncio.Task[Any]] = set()
        self._connections = Connections()
        self.server_state.connections = self._connections

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn does it, but a signal that ended the server is no failure: exit status 0."""
        former = {number: signal.signal(number, self.handle_exit) for number in _SIGNALS}
        try:
            yield
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Load the application, then take connections."""
        await super().startup(sockets)
        if self._channel is not None:
            self._channel.setblocking(False)
            asyncio.get_running_loop().add_reader(self._channel, self._receive)

    async def on_tick(self, counter: int) -> bool:
        """Ten times a second: tell whoever watches that the event loop turns."""
        here().beat()
        return await super().on_tick(counter)

    def _receive(self) -> None:
        """Take the connections that were sent; the channel's end says that none will follow."""
        assert self._channel is not None  # noqa: S101
        while True:
            try:
                message, descriptors, _, _ = socket.recv_fds(self._channel, 1, 1)
            except BlockingIOError:
                return
            except ConnectionResetError:
                message, descriptors = b"", []
            if not message:
                asyncio.get_running_loop().remove_reader(self._channel)
                self.should_exit = True
                return
            for descriptor in descriptors:
                self._connect(socket.socket(fileno=descriptor))

    def _connect(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        loop = asyncio.get_running_loop()
        task = loop.create_task(loop.connect_accepted_socket(self._protocol, connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _protocol(self) -> asyncio.Protocol:
        return self.config.http_protocol_class(  # type: ignore[call-arg]
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Answer what is on its way, then close.

        A client may have connected, or written to an idle connection, before it can know that the
        server stops: what the kernel holds is accepted, and idle connections get a moment more.
        """
        for listener in sockets or []:
            self._accept_all(listener)
        for server in self.servers:
            server.close()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._connections.wait_for_none(), self._linger)
        await super().shutdown(sockets)

    def _accept_all(self, listener: socket.socket) -> None:
        listener.setblocking(False)
        with contextlib.suppress(OSError):
            while True:
                self._connect(listener.accept()[0])
