"""From one state to the next: a version is loaded, swapped, evicted, unloaded, or fails."""

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any

from inference_server.models.entry import Entry, OpenLane, Served, State
from inference_server.models.failures import ModelLoadError
from inference_server.models.hardware import CPU
from inference_server.models.loader import Built, Loader, in_thread
from inference_server.models.model import Model
from inference_server.models.residency import choose_victims, give_memory_back, size_on_disk
from inference_server.observability.metrics import Metrics

_LONGEST_BACKOFF = 300.0
_LOAD_BACKOFF = 1.0
_RUN_BACKOFF = 10.0
_DOWN = (State.UNAVAILABLE, State.LOADING)
_STABLE = 600.0  # seconds; a model that was ready for so long has its failures forgotten

_log = logging.getLogger(__name__)


class Lifecycle:
    """Changes entries; event loop only. `changed` is told of each that may or may not answer now.

    Loads are one at a time; a swap is one assignment, after which the old lane drains.
    """

    def __init__(
        self,
        loader: Loader,
        metrics: Metrics,
        open_lane: OpenLane,
        entries: Callable[[], Iterable[Entry]],
        members: Callable[[Entry], Sequence[Model]],
        changed: Callable[[Entry], None],
        budget: int | None,
    ) -> None:
        """`members` gives the models of an ensemble and raises ModelLoadError; budget in bytes."""
        self._loader = loader
        self._metrics = metrics
        self._open_lane = open_lane
        self._entries = entries
        self._members = members
        self._changed = changed
        self._budget = budget
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    async def load(self, entry: Entry, *, again: bool = True, evict: bool = True) -> None:
        """Load a version; READY afterwards, or why not. What it served, it serves meanwhile.

        Without `again` one in memory is left as it is; without `evict` it gets only free memory.
        """
        async with self._lock:
            if entry.served is not None and not again:
                return
            if entry.served is None:
                self._set(entry, State.LOADING)
            try:
                built = await self._build(entry, evict)
                lane = self._open_lane(built.model, built.model.config)
            except ModelLoadError as error:
                self._load_failed(entry, error, evict)
                return
            replaced = _take(entry)
            entry.served = Served(built.model, lane)
            if replaced:
                self._metrics.unloaded(entry.file.name, entry.file.version)
            self._announce(entry, built)
            self._set(entry, State.READY)
        self.spawn(_retire(replaced))

    async def _build(self, entry: Entry, evict: bool) -> Built:
        if self._is_too_large(entry):
            entry.memory = 0  # measured beside other work, perhaps: measure again
        entry.memory = max(entry.memory, size_on_disk(entry))
        await self._make_room(entry, evict)
        file = entry.file
        built = await self._loader.build(file, self._members(entry))
        if file.config.ensemble is None:
            entry.memory = max(built.grown, entry.memory)
            await self._make_room(entry, evict)
        return built

    async def _make_room(self, wanted: Entry, evict: bool) -> None:
        if self._budget is None or wanted.file.config.ensemble is not None:
            return
        victims = choose_victims(self._entries(), wanted, self._budget, time.monotonic())
        if victims is None or (victims and not evict):
            text = f"needs {wanted.memory} bytes of the {self._budget} that models may take"
            raise ModelLoadError("memory", text)
        for victim in victims:
            self._metrics.evicted(victim.file.name)
            served, reason = _take(victim), "evicted: others needed the memory"
            self._set(victim, State.UNLOADING, reason)
            await self._finish(victim, served, reason)

    def _is_too_large(self, entry: Entry) -> bool:
        return self._budget is not None and entry.memory > self._budget

    def _announce(self, entry: Entry, built: Built) -> None:
        model, name, version = built.model, entry.file.name, entry.file.version
        entry.ready_at = time.monotonic()
        self._runs_on(entry, model.provider, model.device)
        framework = model.contract.framework
        self._metrics.loaded(name, version, model.sha256, framework, built.seconds, entry.memory)
        self._metrics.monitor(name, version, model.contract).ready.set(1)
        _log.info(
            "model ready",
            extra={
                **_facts(entry),
                "sha256": model.sha256,
                "provider": model.provider,
                "duration_ms": round(built.seconds * 1000, 1),
            },
        )

    def _runs_on(self, entry: Entry, provider: str, device: str) -> None:
        demanded = self._loader.hardware.demands_gpu(entry.file.config)
        fallback = demanded and provider == CPU
        name, version = entry.file.name, entry.file.version
        required = self._loader.hardware.require_gpu
        self._metrics.runs_on(name, version, provider, required, device, fallback)

    def _load_failed(self, entry: Entry, error: ModelLoadError, evict: bool) -> None:
        if error.reason == "memory" and entry.on_demand and not evict:
            entry.required = False
            self._set(entry, State.UNLOADED, "no memory is left for it at start")
            return
        if error.provider is not None:
            self._runs_on(entry, error.provider, "cpu")
        self._metrics.load_failed(entry.file.name, entry.file.version, error.reason)
        _log.error("model cannot be made ready", extra={**_facts(entry), "reason": str(error)})
        if error.reason == "memory" and not self._is_too_large(entry):
            entry.retry_at = time.monotonic() + _LOAD_BACKOFF  # others may be idle then
        else:
            _count_failure(entry, _LOAD_BACKOFF)
        state = State.READY if entry.served is not None else State.UNAVAILABLE
        self._set(entry, state, str(error))

    async def unload(self, entry: Entry, reason: str | None = None) -> None:
        """Finish what the version was asked, then free its memory."""
        async with self._lock:  # a load that goes on ends first
            served = _take(entry)
            self._set(entry, State.UNLOADING, reason)
        await self._finish(entry, served, reason)

    async def _finish(self, entry: Entry, served: list[Served], reason: str | None) -> None:
        await _retire(served)
        if entry.state is State.UNLOADING:
            self._metrics.unloaded(entry.file.name, entry.file.version)
            self._set(entry, State.UNLOADED, reason)

    def fail(self, entry: Entry, reason: str, *, revive: bool = True) -> None:
        """Take a version out of service at once; with `revive`, try until it loads again."""
        served = _take(entry)
        if not served:
            return
        self._metrics.unloaded(entry.file.name, entry.file.version)
        _log.error("model is not ready any more", extra={**_facts(entry), "reason": reason})
        _count_failure(entry, _RUN_BACKOFF)
        self._set(entry, State.UNAVAILABLE, reason)
        self.spawn(_retire(served))
        if revive:
            self.spawn(self._revive(entry))

    async def _revive(self, entry: Entry) -> None:
        while entry.state in _DOWN:
            await asyncio.sleep(max(0.0, entry.retry_at - time.monotonic()))
            if entry.state in _DOWN:
                await self.load(entry, again=False)

    def _set(self, entry: Entry, state: State, reason: str | None = None) -> None:
        entry.state, entry.reason = state, reason
        self._changed(entry)

    def spawn(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this in the background; `stop` ends it."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("a change of models failed", exc_info=error)

    async def stop(self) -> None:
        """Cancel what goes on, and let every lane finish what it was asked."""
        for task in self._tasks:
            task.cancel()
        lanes = [each.served.lane for each in self._entries() if each.served is not None]
        await asyncio.gather(
            *self._tasks, *(lane.close() for lane in lanes), return_exceptions=True
        )


def _take(entry: Entry) -> list[Served]:
    """What the entry serves, out of its hands: the list is the only reference to it."""
    served, entry.served = entry.served, None
    return [served] if served is not None else []


async def _retire(served: list[Served]) -> None:
    """Let the lane finish, then free the model's memory, outside the event loop."""
    if not served:
        return
    await served[0].lane.close()

    def free() -> None:
        served.clear()
        give_memory_back()

    await in_thread(free)


def _count_failure(entry: Entry, backoff: float) -> None:
    now = time.monotonic()
    if entry.ready_at and now - entry.ready_at > _STABLE:
        entry.failures = 0
    entry.failures += 1
    entry.retry_at = now + min(_LONGEST_BACKOFF, backoff * 2 ** (entry.failures - 1))


def _facts(entry: Entry) -> dict[str, object]:
    return {"model_id": entry.file.name, "model_version": entry.file.version}
