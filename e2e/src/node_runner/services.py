"""Services: an address each, where connections are passed on to ready pods in turn."""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from node_runner.machine import AddressPool
from node_runner.manifest import Manifest, metadata, name_of

_LOG = logging.getLogger(__name__)
_CHUNK = 65536
_CONNECT_SECONDS = 5.0
_PRIVILEGED = 1024

Endpoint = tuple[str, int]


@dataclass(frozen=True)
class Backend:
    """What a Service needs to know of a pod."""

    namespace: str
    labels: Manifest
    ready: bool
    endpoint: Callable[[int | str], Endpoint | None]


def selects(service: Manifest, backend: Backend) -> bool:
    """Whether the Service sends requests to the pod."""
    selector = service["spec"].get("selector")
    return bool(
        selector
        and backend.ready
        and backend.namespace == metadata(service)["namespace"]
        and selector.items() <= backend.labels.items()
    )


def endpoints(service: Manifest, port: Manifest, backends: Iterable[Backend]) -> list[Endpoint]:
    """Return where the connections of one port of a Service may go now."""
    target = port.get("targetPort") or port["port"]
    found = (one.endpoint(target) for one in backends if selects(service, one))
    return [endpoint for endpoint in found if endpoint is not None]


def listening_port(port: int) -> int:
    """Return the port that stands for a Service's: only root may listen below 1024."""
    return port if port >= _PRIVILEGED else 10000 + port


class Services:
    """The proxies of all Services; they follow selectors and readiness at once."""

    def __init__(self, addresses: AddressPool, backends: Callable[[], list[Backend]]) -> None:
        self._pool, self._backends = addresses, backends
        self._services: dict[str, Manifest] = {}
        self._addresses: dict[str, str] = {}
        self._servers: dict[tuple[str, int], asyncio.Server] = {}
        self._connections: set[asyncio.Task[None]] = set()
        self._turn = 0
        self._dirty = asyncio.Event()

    def apply(self, service: Manifest, gone: bool) -> None:
        """Take a change of a Service."""
        name = name_of(service)
        if gone or not service["spec"].get("selector"):
            self._services.pop(name, None)
            if name in self._addresses:
                self._pool.give_back(self._addresses.pop(name))
        else:
            self._services[name] = service
            if name not in self._addresses:
                self._addresses[name] = self._pool.take()
        self.changed()

    def changed(self) -> None:
        """Look again at which Services have a ready pod."""
        self._dirty.set()

    def addresses(self) -> dict[tuple[str, int], str]:
        """Return `address:port` by (`name.namespace`, port)."""
        found = {}
        for name, service in self._services.items():
            dns = f"{metadata(service)['name']}.{metadata(service)['namespace']}"
            for port in service["spec"].get("ports") or []:
                listening = listening_port(port["port"])
                found[dns, int(port["port"])] = f"{self._addresses[name]}:{listening}"
        return found

    def describe(self) -> list[Manifest]:
        """Return the Services as `/services` shows them, one entry for each port."""
        backends = self._backends()
        return [
            {
                "namespace": metadata(service)["namespace"],
                "name": metadata(service)["name"],
                "port": port["port"],
                "address": f"{self._addresses[name]}:{listening_port(port['port'])}",
                "endpoints": [
                    f"{host}:{number}" for host, number in endpoints(service, port, backends)
                ],
            }
            for name, service in sorted(self._services.items())
            for port in service["spec"].get("ports") or []
        ]

    async def keep(self) -> None:
        """Listen for each Service that has a ready pod, and only then, for ever."""
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            wanted = self._wanted()
            for key in self._servers.keys() - wanted:
                self._servers.pop(key).close()
            for key in wanted - self._servers.keys():
                await self._open(*key)

    def _wanted(self) -> set[tuple[str, int]]:
        backends = self._backends()
        return {
            (name, port["port"])
            for name, service in self._services.items()
            for port in service["spec"].get("ports") or []
            if endpoints(service, port, backends)
        }

    async def _open(self, name: str, port: int) -> None:
        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # Held here: the event loop has only weak references to tasks.
            task = asyncio.create_task(self._pass_on(name, port, reader, writer))
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)

        address = self._addresses[name]
        try:
            self._servers[name, port] = await asyncio.start_server(
                accept, address, listening_port(port), limit=_CHUNK
            )
        except OSError as error:
            _LOG.error("Service %s: cannot listen on %s: %s", name, address, error)

    async def _pass_on(
        self, name: str, number: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        try:
            target = self._next(name, number)
            if target is None:
                return
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

    def _next(self, name: str, number: int) -> Endpoint | None:
        service = self._services.get(name)
        ports = (service or {"spec": {}})["spec"].get("ports") or []
        port = next((entry for entry in ports if entry["port"] == number), None)
        if service is None or port is None:
            return None
        found = endpoints(service, port, self._backends())
        self._turn += 1
        return found[self._turn % len(found)] if found else None


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    finally:
        with contextlib.suppress(OSError, RuntimeError):
            writer.write_eof()
