"""One pod: its folder, volumes and containers, its status, and its end."""

import asyncio
import contextlib
import logging
import shutil
from collections.abc import Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from local_cluster.watching import FAILURES

from node_runner.command import Place
from node_runner.container import Container
from node_runner.environment import MissingReferenceError, PodFacts, UnsupportedError
from node_runner.machine import Machine, address_of, pod_ip
from node_runner.manifest import Manifest, metadata, name_of
from node_runner.mounting import PodVolumes
from node_runner.probes import port_number
from node_runner.processes import kill_recorded
from node_runner.publishing import Publisher
from node_runner.status import PodView, Waiting, initialized, now, phase

_LOG = logging.getLogger(__name__)
_MISSING_SECONDS = 0.5
_REFRESH_SECONDS = 5.0
_ENDED = ("Succeeded", "Failed")


class Pod:
    """A pod on this machine, from its admission to its end."""

    def __init__(self, pod: Manifest, machine: Machine) -> None:
        self.manifest, self._machine = pod, machine
        self.uid: str = metadata(pod)["uid"]
        self.folder = machine.folder / "pods" / self.uid
        status = pod.get("status") or {}
        self.address = machine.addresses.take(address_of(status.get("podIP") or ""))
        self._started_at = status.get("startTime") or now()
        # What ended before this runner started: its status is the API server's to keep.
        self._over = status.get("phase") in _ENDED
        self._mounted = self._ended = self._lost = False
        self._stopping, self._deleting = asyncio.Event(), asyncio.Event()
        self._grace = 30.0
        self._verdict = ("", "")
        self._publisher = Publisher(machine.api, self._view)
        self._volumes = PodVolumes(self.folder / "volumes", self._facts, self._source, machine.api)
        self._init, self._main = self._containers()
        self._restore()
        self._task = asyncio.create_task(self._live())
        self._task.add_done_callback(self._report)
        self.update(pod)

    # --- what others see

    @property
    def name(self) -> str:
        """`namespace/name`."""
        return name_of(self.manifest)

    @property
    def ready(self) -> bool:
        """Whether Services send requests here: no longer once the deletion started."""
        return not (self._lost or self._over or self._ended) and self._view().ready

    @property
    def containers(self) -> list[Container]:
        """All containers, the init containers first."""
        return [*self._init, *self._main]

    def endpoint(self, target: int | str) -> tuple[str, int] | None:
        """Return address and port of a Service's target port; None where the pod has none."""
        for container in self._main:
            with contextlib.suppress(ValueError):
                return self.address, port_number(target, container.spec)
        return None

    @property
    def phase(self) -> str:
        """The phase that the status shows."""
        return str(self.manifest["status"]["phase"]) if self._over else phase(self._view())

    def describe(self) -> Manifest:
        """Return the pod as `/pods` shows it."""
        found = metadata(self.manifest)
        view = self._view()
        return {
            "namespace": found["namespace"],
            "name": found["name"],
            "uid": self.uid,
            "node": self.manifest["spec"]["nodeName"],
            "address": self.address,
            "ip": pod_ip(self.address),
            "ports": {
                str(port.get("name") or port["containerPort"]): port["containerPort"]
                for container in self._main
                for port in container.spec.get("ports") or []
            },
            "labels": found.get("labels") or {},
            "annotations": found.get("annotations") or {},
            "containers": [state.name for state in view.main],
            "phase": self.phase,
            "ready": self.ready,
            "folder": str(self.folder),
            "logs": str(self.logs),
        }

    # --- what the API server says

    def update(self, pod: Manifest) -> None:
        """Take a newer manifest: labels and conditions may change, or the deletion has begun."""
        self.manifest = pod
        found = metadata(pod)
        if "deletionTimestamp" in found:
            self._grace = float(found.get("deletionGracePeriodSeconds") or 0)
            self._deleting.set()
            self._changed()

    async def lose(self) -> None:
        """End everything at once and say nothing: the node is gone, or the pod already is."""
        self._lost = True
        self._task.cancel()
        for container in self.containers:
            container.kill()
        await asyncio.gather(self._task, return_exceptions=True)
        self._release()

    async def shut_down(self, grace: float) -> None:
        """End the programs because this runner ends; the next one starts the pod again."""
        self._lost = True
        # First, or the status would say that the containers ended by themselves.
        self._task.cancel()
        await asyncio.gather(*(container.terminate(grace) for container in self.containers))
        await self.lose()

    def remove_folder(self) -> None:
        """Remove what the pod wrote."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _release(self) -> None:
        self._machine.addresses.give_back(self.address)
        self._machine.readiness_changed()

    def _report(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            _LOG.error("%s: the runner failed", self.name, exc_info=task.exception())

    # --- the life of the pod

    async def _live(self) -> None:
        publisher = asyncio.create_task(self._publisher.keep())
        try:
            if not self._over:
                await self._run_until_stopped()
                publisher.cancel()
                await self._publisher.publish()
            await self._deleting.wait()
            await self._publisher.delete()
        finally:
            publisher.cancel()

    async def _run_until_stopped(self) -> None:
        run = asyncio.create_task(self._run())
        others = [asyncio.create_task(self._deleting.wait()), asyncio.create_task(self._deadline())]
        try:
            await asyncio.wait({run, *others}, return_when=asyncio.FIRST_COMPLETED)
            if not run.done():
                await self._stop()
            await run
        finally:
            for task in (run, *others):
                task.cancel()
        self._ended = True
        self._machine.readiness_changed()

    async def _stop(self) -> None:
        self._stopping.set()
        self._changed()
        grace = self._grace
        if not self._deleting.is_set():
            grace = float(self.manifest["spec"].get("terminationGracePeriodSeconds", 30))
        await asyncio.gather(*(container.terminate(grace) for container in self.containers))

    async def _deadline(self) -> None:
        seconds = self.manifest["spec"].get("activeDeadlineSeconds")
        if seconds is None:
            await asyncio.Event().wait()
        began = datetime.fromisoformat(self._started_at)
        await asyncio.sleep(seconds - (datetime.now(UTC) - began).total_seconds())
        self._verdict = (
            "DeadlineExceeded",
            "Pod was active on the node longer than the specified deadline",
        )

    async def _run(self) -> None:
        if not await self._mount():
            return
        refresher = asyncio.create_task(self._refresh_volumes())
        sidecars: list[asyncio.Task[None]] = []
        try:
            if await self._initialize(sidecars):
                await asyncio.gather(*(container.run() for container in self._main))
            for container in self._init:
                await container.terminate(self._grace)
            await asyncio.gather(*sidecars)
        finally:
            for task in (refresher, *sidecars):
                task.cancel()

    async def _initialize(self, sidecars: list[asyncio.Task[None]]) -> bool:
        for container in self._init:
            if container.state.sidecar:
                sidecars.append(asyncio.create_task(container.run()))
                await _first(container.started.wait(), self._stopping.wait())
            else:
                await container.run()
            if self._stopping.is_set() or not initialized(container.state):
                return False
        for container in self._main:
            if isinstance(container.state.state, Waiting):
                container.state.state = Waiting("ContainerCreating")
        self._changed()
        return True

    # --- volumes

    async def _mount(self) -> bool:
        """Wait until every volume is there; False when the pod ends before."""
        while not self._stopping.is_set():
            try:
                await self._volumes.write()
            except MissingReferenceError as error:
                self._waiting(f"MountVolume.SetUp failed: {error}")
            except UnsupportedError as error:
                self._waiting(str(error))
            except FAILURES as error:
                self._waiting(f"token: {error}")
            else:
                self._mounted = True
                self._changed()
                return True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), _MISSING_SECONDS)
        return False

    def _waiting(self, message: str) -> None:
        first = next(iter(self.containers))
        waiting = Waiting("PodInitializing" if self._init else "ContainerCreating", message)
        if first.state.state != waiting:
            _LOG.info("%s: %s", self.name, message)
            first.state.state = waiting
            self._changed()

    async def _refresh_volumes(self) -> None:
        while True:
            await asyncio.sleep(_REFRESH_SECONDS)
            with contextlib.suppress(MissingReferenceError, UnsupportedError, *FAILURES):
                await self._volumes.write()

    # --- containers

    def _containers(self) -> tuple[list[Container], list[Container]]:
        spec = self.manifest["spec"]
        policy = spec.get("restartPolicy", "Always")
        init = [
            self._container(
                one,
                "Always" if one.get("restartPolicy") == "Always" else _init_policy(policy),
                sidecar=one.get("restartPolicy") == "Always",
            )
            for one in spec.get("initContainers") or []
        ]
        main = [self._container(one, policy) for one in spec["containers"]]
        for container in main:
            reason = "PodInitializing" if init else "ContainerCreating"
            container.state.state = Waiting(reason)
        return init, main

    def _container(self, spec: Manifest, restart: str, *, sidecar: bool = False) -> Container:
        place = Place(
            volumes=self._volumes.folder,
            folder=self.folder / "containers" / spec["name"],
            address=self.address,
            names=self._machine.names,
            logs=self.logs / spec["name"],
            api_server=(self._machine.api.host, self._machine.api.port),
        )
        return Container(
            spec,
            self._machine,
            self._facts(),
            place,
            self._source,
            self._changed,
            restart=restart,
            sidecar=sidecar,
        )

    @property
    def logs(self) -> Path:
        """The folder of what the containers wrote: `<container>/<restart>.log`."""
        return self._machine.folder / "logs" / f"{self.name.replace('/', '_')}_{self.uid}"

    def _source(self, kind: str, name: str) -> "dict[str, bytes] | None":
        found = self._machine.data(metadata(self.manifest)["namespace"], kind, name)
        return None if found is None else dict(found)

    def _facts(self) -> PodFacts:
        node = self.manifest["spec"]["nodeName"]
        return PodFacts(
            self.manifest,
            self.address,
            self._machine.host_address,
            self._machine.allocatable(node),
        )

    def _restore(self) -> None:
        status = self.manifest.get("status") or {}
        statuses = {
            entry["name"]: entry
            for entry in [
                *(status.get("initContainerStatuses") or []),
                *(status.get("containerStatuses") or []),
            ]
        }
        # What init containers wrote is in the pod's folder, or has to be written again.
        known = self.containers if self.folder.is_dir() else self._main
        for container in known:
            if container.state.name in statuses:
                container.restore(statuses[container.state.name])

    # --- the status

    def _changed(self) -> None:
        self._publisher.changed()
        self._machine.readiness_changed()

    def _view(self) -> PodView:
        reason, message = self._verdict
        return PodView(
            pod=self.manifest,
            init=[container.state for container in self._init],
            main=[container.state for container in self._main],
            mounted=self._mounted,
            ended=self._ended,
            stopping=self._stopping.is_set() or self._deleting.is_set(),
            ip=pod_ip(self.address),
            host_ip=self._machine.host_address,
            started_at=self._started_at,
            reason=reason,
            message=message,
        )


async def _first(*waits: Coroutine[Any, Any, object]) -> None:
    tasks = [asyncio.create_task(wait) for wait in waits]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()


def _init_policy(policy: str) -> str:
    return "Never" if policy == "Never" else "OnFailure"


def kill_leftovers(folder: Path) -> int:
    """End the programs that an earlier runner left behind; return how many."""
    return sum(kill_recorded(record) for record in folder.glob("pods/*/containers/*/*.json"))
