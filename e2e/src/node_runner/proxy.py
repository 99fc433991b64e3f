"""`python -m node_runner.proxy`: passes connections on; what kube-proxy is to a kubelet.

A program of its own, because a runner that starts ten pods would keep every connection waiting.
Each line of standard input is the whole table: {"address:port": ["address:port", ...]}.
"""

import asyncio
import contextlib
import itertools
import json
import signal
import sys
from collections.abc import Mapping, Sequence

_CHUNK = 65536
_CONNECT_SECONDS = 5.0
# A table of a thousand Services.
LINE_BYTES = 1 << 20

Table = Mapping[str, Sequence[str]]


def endpoint(text: str) -> tuple[str, int]:
    """Read `address:port`."""
    host, _, port = text.rpartition(":")
    return host, int(port)


class Proxy:
    """Listens where a table has targets, and passes each connection to the next of them."""

    def __init__(self) -> None:
        self._table: Table = {}
        self._servers: dict[str, asyncio.Server] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._turn = itertools.count()

    async def apply(self, table: Table) -> None:
        """Take a new table; connections that are open stay."""
        self._table = {address: targets for address, targets in table.items() if targets}
        for address in self._servers.keys() - self._table.keys():
            self._servers.pop(address).close()
        for address in self._table.keys() - self._servers.keys():
            await self._listen(address)

    async def _listen(self, address: str) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Held here: the event loop has only weak references to tasks.
            task = asyncio.create_task(self._pass_on(address, reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        try:
            self._servers[address] = await asyncio.start_server(
                accept, *endpoint(address), limit=_CHUNK
            )
        except OSError as error:
            print(f"proxy: cannot listen on {address}: {error}", file=sys.stderr)

    async def _pass_on(
        self, address: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            targets = self._table.get(address)
            if not targets:
                return
            target = endpoint(targets[next(self._turn) % len(targets)])
            async with asyncio.timeout(_CONNECT_SECONDS):
                upstream, downstream = await asyncio.open_connection(*target, limit=_CHUNK)
            try:
                await asyncio.gather(_copy(reader, downstream), _copy(upstream, writer))
            finally:
                downstream.close()
        except (OSError, TimeoutError):
            pass
        finally:
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()


async def serve() -> None:
    """Follow the tables of standard input until it ends."""
    # The runner ends it, by closing the pipe.
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, lambda: None)
    lines = asyncio.StreamReader(limit=LINE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(lines), sys.stdin
    )
    proxy = Proxy()
    while line := await lines.readline():
        await proxy.apply(json.loads(line))


if __name__ == "__main__":
    asyncio.run(serve())
