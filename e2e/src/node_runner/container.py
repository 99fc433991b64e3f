"""One container: its program, its probes, its hooks, and when it is started again."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

from node_runner.backoff import Backoff
from node_runner.command import Command, Place, build_command, localised_scripts
from node_runner.environment import MissingReferenceError, PodFacts, Source, UnsupportedError
from node_runner.images import ImagesError
from node_runner.machine import Machine
from node_runner.manifest import Manifest, metadata
from node_runner.probes import Answers, Probe, ask_http, ask_tcp
from node_runner.processes import Process, kill_recorded
from node_runner.status import ContainerState, Running, Terminated, Waiting, now, restored

_LOG = logging.getLogger(__name__)
_MISSING_SECONDS = 0.5
_IMAGE_SECONDS = 2.0
_NOT_RUN = 128
_MESSAGE_BYTES = 2048


class Container:
    """One container of a pod; `run` returns when it has ended for good."""

    def __init__(
        self,
        spec: Manifest,
        machine: Machine,
        facts: PodFacts,
        place: Place,
        source: Source,
        changed: Callable[[], None],
        *,
        restart: str,
        sidecar: bool = False,
    ) -> None:
        self.spec, self._machine, self._facts, self._place = spec, machine, facts, place
        self._source, self._changed, self._restart = source, changed, restart
        self.state = ContainerState(spec["name"], spec["image"], sidecar=sidecar)
        self._backoff = Backoff(machine.backoff_seconds)
        self._process: Process | None = None
        self._command: Command | None = None
        self._stopping = asyncio.Event()
        self.started = asyncio.Event()
        self._label = f"{metadata(facts.pod)['namespace']}/{metadata(facts.pod)['name']}"

    @property
    def pid(self) -> int | None:
        """The session of the running program."""
        return self._process.pid if self._process else None

    @property
    def _record(self) -> Path:
        return self._place.folder / "process.json"

    def restore(self, status: Manifest) -> None:
        """Take up what the pod's status says of a run before this one."""
        kill_recorded(self._record)
        self.state.restarts = status.get("restartCount", 0)
        self.state.last = restored(status.get("lastState") or {})
        state = status.get("state") or {}
        ended = restored(state)
        if "running" in state:
            began = state["running"].get("startedAt")
            ended = Terminated(137, "Error", began, now(), "the node was restarted")
        if ended is not None:
            self.state.state = ended

    async def run(self) -> None:
        """Run the program, again and again as the restart policy says."""
        while not self._stopping.is_set():
            ended = self.state.state
            if isinstance(ended, Terminated):
                if not self._again(ended):
                    return
                await self._back_off(ended)
                if self._stopping.is_set():
                    return
            await self._run_once()

    def _again(self, ended: Terminated) -> bool:
        if self._restart == "Always":
            return True
        return self._restart == "OnFailure" and ended.exit_code != 0

    async def _back_off(self, ended: Terminated) -> None:
        self.state.last = ended
        seconds = self._backoff.seconds
        if seconds:
            self.state.state = Waiting(
                "CrashLoopBackOff",
                f"back-off {seconds:.0f}s restarting failed container={self.state.name}",
            )
            self._changed()
            await self._pause(seconds)
        self.state.restarts += 1

    async def _run_once(self) -> None:
        command = await self._command_when_complete()
        if command is None:
            return
        self._command = command
        began, clock = now(), time.monotonic()
        log = self._place.logs / f"{self.state.restarts}.log"
        try:
            self._process = await Process.start(
                command.argv, command.environment, command.folder, log, self._record
            )
        except OSError as error:
            _LOG.warning("%s: %s cannot be started: %s", self._label, self.state.name, error)
            self._end(Terminated(_NOT_RUN, "StartError", began, now(), str(error)), 0)
            return
        if self._stopping.is_set():
            self._process.kill()
        self.state.state = Running(began)
        self._changed()
        code = await self._until_end(self._process)
        self._process = None
        reason = "Completed" if code == 0 else "Error"
        message = self._last_words(log) if code else ""
        self._end(Terminated(code, reason, began, now(), message), time.monotonic() - clock)

    def _end(self, ended: Terminated, ran: float) -> None:
        self._backoff = self._backoff.after_end(ran)
        self.state.state, self.state.serves, self.state.started = ended, False, False
        self._changed()

    def _last_words(self, log: Path) -> str:
        if self.spec.get("terminationMessagePolicy") != "FallbackToLogsOnError":
            return ""
        return log.read_bytes()[-_MESSAGE_BYTES:].decode(errors="replace")

    async def _until_end(self, process: Process) -> int:
        async with _tasks(self._watch(process)):
            return await process.wait()

    async def _command_when_complete(self) -> Command | None:
        """Wait for the image, the ConfigMaps and the Secrets; None when the pod ends before."""
        while not self._stopping.is_set():
            waiting, seconds = Waiting("ContainerCreating"), _MISSING_SECONDS
            try:
                return self._build()
            except _NoImageError:
                again = isinstance(self.state.state, Waiting) and "Image" in self.state.state.reason
                text = f'image "{self.spec["image"]}" is not in the file of images'
                waiting = Waiting("ImagePullBackOff" if again else "ErrImagePull", text)
                seconds = _IMAGE_SECONDS
            except MissingReferenceError as error:
                waiting = Waiting("CreateContainerConfigError", str(error))
            except (UnsupportedError, ImagesError, ValueError, KeyError) as error:
                waiting, seconds = Waiting("CreateContainerError", str(error)), _IMAGE_SECONDS
            self._wait_as(waiting)
            await self._pause(seconds)
        return None

    def _build(self) -> Command:
        image = self._machine.images.find(self.spec["image"])
        if image is None:
            raise _NoImageError
        (self._place.folder / "tmp").mkdir(parents=True, exist_ok=True)
        for file, text in localised_scripts(self.spec, self._place, _text_of):
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        return build_command(self.spec, self._facts, self._source, image, self._place)

    def _wait_as(self, waiting: Waiting) -> None:
        if isinstance(self.state.state, Terminated):
            self.state.last = self.state.state
        if self.state.state != waiting:
            self.state.state = waiting
            self._changed()

    async def _pause(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    # --- probes

    async def _watch(self, process: Process) -> None:
        if "postStart" in (self.spec.get("lifecycle") or {}):
            await self._hook("postStart")
        startup = self.spec.get("startupProbe")
        if startup and not await self._passes_startup(Probe.of(startup), process):
            return
        self.state.started = self.state.begun = True
        self.started.set()
        self.state.serves = "readinessProbe" not in self.spec
        self._changed()
        async with asyncio.TaskGroup() as group:
            if "readinessProbe" in self.spec:
                group.create_task(self._readiness(Probe.of(self.spec["readinessProbe"])))
            if "livenessProbe" in self.spec:
                group.create_task(self._liveness(Probe.of(self.spec["livenessProbe"]), process))

    async def _passes_startup(self, probe: Probe, process: Process) -> bool:
        async for answers in self._answers(probe, passing=False):
            if answers.passing:
                return True
            if answers.failed(probe):
                await self._kill_unhealthy("startup", probe, process)
                return False
        return False

    async def _readiness(self, probe: Probe) -> None:
        async for answers in self._answers(probe, passing=False):
            if answers.passing != self.state.serves:
                self.state.serves = answers.passing
                self._changed()

    async def _liveness(self, probe: Probe, process: Process) -> None:
        async for answers in self._answers(probe, passing=True):
            if answers.failed(probe) and not self._stopping.is_set():
                await self._kill_unhealthy("liveness", probe, process)
                return

    async def _kill_unhealthy(self, kind: str, probe: Probe, process: Process) -> None:
        _LOG.info("%s: %s failed its %s probe", self._label, self.state.name, kind)
        grace = self._facts.pod["spec"].get("terminationGracePeriodSeconds", 30)
        await self._end_process(process, probe.grace_seconds or grace)

    async def _answers(self, probe: Probe, *, passing: bool) -> AsyncIterator[Answers]:
        answers = Answers(passing)
        await asyncio.sleep(probe.initial_delay)
        while True:
            answers = answers.after(await self._ask(probe.handler, probe.timeout), probe)
            yield answers
            await asyncio.sleep(probe.period)

    async def _ask(self, handler: Manifest, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                return await self._act(handler)
        except (TimeoutError, ValueError):
            return False

    async def _act(self, handler: Manifest) -> bool:
        address = self._place.address
        if "httpGet" in handler:
            return await ask_http(self._machine.http, handler["httpGet"], address, self.spec)
        if "tcpSocket" in handler:
            return await ask_tcp(handler["tcpSocket"], address, self.spec)
        if "exec" in handler:
            return await self._exec(handler["exec"]["command"])
        if "sleep" in handler:
            await asyncio.sleep(handler["sleep"]["seconds"])
            return True
        raise ValueError(f"{', '.join(handler)} is not run here")

    async def _exec(self, argv: list[str]) -> bool:
        if self._command is None:
            return False
        mounts = self._place.mounts(self.spec)
        try:
            process = await Process.start(
                [mounts.replace(part) for part in argv],
                self._command.environment,
                self._command.folder,
                self._place.logs / "exec.log",
                self._place.folder / "exec.json",
            )
        except OSError:
            return False
        try:
            return await process.wait() == 0
        finally:
            process.kill()

    # --- the end

    async def terminate(self, grace: float) -> None:
        """Run preStop, then SIGTERM, then, when the grace period is over, SIGKILL."""
        self._stopping.set()
        if self._process is not None:
            await self._end_process(self._process, grace)

    async def _end_process(self, process: Process, grace: float) -> None:
        over = time.monotonic() + grace
        if "preStop" in (self.spec.get("lifecycle") or {}):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(grace):
                    await self._hook("preStop")
        process.terminate()
        try:
            await asyncio.wait_for(process.wait(), max(0.0, over - time.monotonic()))
        except TimeoutError:
            process.kill()

    def kill(self) -> None:
        """End the program at once."""
        self._stopping.set()
        if self._process is not None:
            self._process.kill()

    async def _hook(self, name: str) -> None:
        try:
            await self._act(self.spec["lifecycle"][name])
        except ValueError as error:
            _LOG.warning("%s: %s of %s: %s", self._label, name, self.state.name, error)


class _NoImageError(Exception):
    """The file of images has no entry for the container's image."""


def _text_of(file: Path) -> str | None:
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return None


@contextlib.asynccontextmanager
async def _tasks(*work: Awaitable[None]) -> AsyncIterator[None]:
    """Do the work beside the block, and stop it at its end."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                _LOG.error("probes stopped: %r", result)
