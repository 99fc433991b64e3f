"""The node runner: follows the API server, and holds one `Pod` for each pod of a fake node."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from node_runner.api import ApiServer, Collection
from node_runner.images import Images
from node_runner.machine import AddressesExhaustedError, AddressPool, Machine
from node_runner.manifest import Manifest, metadata, name_of
from node_runner.pod import Pod, kill_leftovers
from node_runner.services import Backend, Services

_LOG = logging.getLogger(__name__)
_SHUT_DOWN_SECONDS = 3.0


@dataclass(frozen=True)
class Options:
    """What the command line chooses."""

    kubeconfig: Path
    folder: Path
    network: str
    images: Path
    places: Mapping[str, str]
    hosts: Mapping[tuple[str, int], str]
    backoff_seconds: float


class Runner:
    """All pods and Services of this machine."""

    def __init__(self, options: Options, api: ApiServer, http: aiohttp.ClientSession) -> None:
        self._api = api
        self._by_uid: dict[str, Pod] = {}
        self._manifests = Collection(self._pod_changed)
        self.services = Services(AddressPool(options.network, 240, 254), self._backends)
        nodes = Collection(self._node_changed)
        self._collections = {
            "nodes": nodes,
            "configmaps": Collection(_ignore),
            "secrets": Collection(_ignore),
            "services": Collection(self.services.apply),
            "pods": self._manifests,
        }
        self._machine = Machine(
            api=api,
            images=Images(options.images, options.places),
            http=http,
            folder=options.folder,
            host_address=f"{options.network}.0.1",
            addresses=AddressPool(options.network, 1, 239),
            config_maps=self._collections["configmaps"],
            secrets=self._collections["secrets"],
            nodes=nodes,
            hosts=options.hosts,
            service_addresses=self.services.addresses,
            readiness_changed=self.services.changed,
            backoff_seconds=options.backoff_seconds,
        )
        self._endings: set[asyncio.Task[None]] = set()

    @property
    def pods(self) -> list[Pod]:
        """The pods that are here, by name."""
        return sorted(self._by_uid.values(), key=lambda pod: pod.name)

    @property
    def complete(self) -> bool:
        """Whether the API server has been read once."""
        return all(one.complete.is_set() for one in self._collections.values())

    async def run(self) -> None:
        """Follow the API server until cancelled; then end every program that was started."""
        left = kill_leftovers(self._machine.folder)
        if left:
            _LOG.warning("ended %d programs that an earlier runner left behind", left)
        tasks = [
            asyncio.create_task(self._api.follow(plural, collection))
            for plural, collection in self._collections.items()
            if plural != "pods"
        ]
        tasks.append(asyncio.create_task(self._follow_pods()))
        tasks.append(asyncio.create_task(self.services.keep()))
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
            await self._shut_down()

    async def _follow_pods(self) -> None:
        # A pod that is admitted before its ConfigMaps are known would wait for nothing.
        for plural, collection in self._collections.items():
            if plural != "pods":
                await collection.complete.wait()
        await self._api.follow("pods", self._manifests)

    async def _shut_down(self) -> None:
        pods = list(self._by_uid.values())
        await asyncio.gather(*(pod.shut_down(_SHUT_DOWN_SECONDS) for pod in pods))

    def _backends(self) -> list[Backend]:
        return [
            Backend(
                metadata(pod.manifest)["namespace"],
                metadata(pod.manifest).get("labels") or {},
                pod.ready,
                pod.endpoint,
            )
            for pod in self._by_uid.values()
        ]

    # --- changes

    def _pod_changed(self, manifest: Manifest, gone: bool) -> None:
        uid = metadata(manifest)["uid"]
        if gone:
            self._remove(uid, with_folder=True)
        elif uid in self._by_uid:
            self._by_uid[uid].update(manifest)
        elif self._machine.fake(manifest["spec"].get("nodeName") or ""):
            self._admit(manifest)
        self.services.changed()

    def _admit(self, manifest: Manifest) -> None:
        try:
            self._by_uid[metadata(manifest)["uid"]] = Pod(manifest, self._machine)
        except AddressesExhaustedError as error:
            _LOG.error("%s is not admitted: %s", name_of(manifest), error)

    def _remove(self, uid: str, *, with_folder: bool) -> None:
        pod = self._by_uid.pop(uid, None)
        if pod is not None:
            task = asyncio.create_task(self._lose(pod, with_folder=with_folder))
            self._endings.add(task)
            task.add_done_callback(self._endings.discard)

    async def _lose(self, pod: Pod, *, with_folder: bool) -> None:
        await pod.lose()
        if with_folder:
            pod.remove_folder()

    def _node_changed(self, manifest: Manifest, gone: bool) -> None:
        name = metadata(manifest)["name"]
        if gone or not self._machine.fake(name):
            for pod in list(self._by_uid.values()):
                if pod.manifest["spec"]["nodeName"] == name:
                    _LOG.info("%s ends with its node %s", pod.name, name)
                    self._remove(pod.uid, with_folder=False)
            self.services.changed()
            return
        for pod_manifest in list(self._manifests.objects.values()):
            if pod_manifest["spec"].get("nodeName") == name:
                self._pod_changed(pod_manifest, gone=False)


@contextlib.asynccontextmanager
async def started(options: Options) -> AsyncIterator[Runner]:
    """Run beside the block; raise what ends the runner."""
    api = await ApiServer.connect(options.kubeconfig)
    connector = aiohttp.TCPConnector(limit=0, force_close=True, ssl=False)
    async with aiohttp.ClientSession(connector=connector) as http:
        runner = Runner(options, api, http)
        task = asyncio.create_task(runner.run())
        try:
            yield runner
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


def _ignore(manifest: Manifest, gone: bool) -> None:
    """Nothing follows a ConfigMap or Secret: a pod reads them when it needs them."""
