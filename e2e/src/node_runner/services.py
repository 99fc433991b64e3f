"""Services: an address each, where connections are passed on to ready pods in turn."""

import asyncio
import contextlib
import json
import logging
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import cast

from node_runner.machine import AddressPool
from node_runner.manifest import Manifest, metadata, name_of

_LOG = logging.getLogger(__name__)
_AGAIN_SECONDS = 1.0
_PRIVILEGED = 1024

Endpoint = tuple[str, int]
Table = dict[str, list[str]]


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
    """All Services, with an address each; the proxy follows selectors and readiness at once."""

    def __init__(self, addresses: AddressPool, backends: Callable[[], list[Backend]]) -> None:
        self._pool, self._backends = addresses, backends
        self._services: dict[str, Manifest] = {}
        self._addresses: dict[str, str] = {}
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
        """Have a proxy listen for each Service that has a ready pod, and only then, for ever."""
        while True:
            status = await self._run_proxy()
            _LOG.error("the proxy of the Services ended with status %d; starting another", status)
            await asyncio.sleep(_AGAIN_SECONDS)

    async def _run_proxy(self) -> int:
        proxy = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "node_runner.proxy", stdin=asyncio.subprocess.PIPE
        )
        pipe = cast("asyncio.StreamWriter", proxy.stdin)
        teller = asyncio.create_task(self._tell(pipe))
        try:
            return await proxy.wait()
        finally:
            teller.cancel()
            # It ends with its input.
            pipe.close()
            await asyncio.shield(proxy.wait())

    async def _tell(self, pipe: asyncio.StreamWriter) -> None:
        told: Table = {}
        while True:
            table: Table = {each["address"]: each["endpoints"] for each in self.describe()}
            if table != told:
                pipe.write(json.dumps(table).encode() + b"\n")
                with contextlib.suppress(ConnectionError):
                    await pipe.drain()
                told = table
            await self._dirty.wait()
            self._dirty.clear()
