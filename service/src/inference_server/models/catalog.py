"""All models of a server: who answers a request, and what changes who is there to answer."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from inference_server.errors import RequestError
from inference_server.models.directory import Control, Directory, Expected, unknown
from inference_server.models.entry import Entry, Lane, Loading, OpenLane, Served, State
from inference_server.models.failures import ModelLoadError
from inference_server.models.hardware import Hardware
from inference_server.models.lifecycle import Lifecycle
from inference_server.models.loader import Loader, in_thread
from inference_server.models.model import Model, ModelFile
from inference_server.models.repository import scan
from inference_server.models.watch import Watch
from inference_server.observability.metrics import Metrics
from inference_server.scheduling.reports import RunMarkers

__all__ = ["Catalog", "Control", "Entry", "Lane", "Loading", "Served", "State"]

_log = logging.getLogger(__name__)


class Catalog:
    """Loads, finds and unloads models; methods belong to the event loop's thread."""

    def __init__(
        self,
        repository: Path,
        hardware: Hardware,
        metrics: Metrics,
        open_lane: OpenLane,
        control: Control | None = None,
        markers: RunMarkers | None = None,
    ) -> None:
        """Look at the repository; nothing is loaded before `start`."""
        self._repository = repository
        self._metrics = metrics
        self._control = control or Control()
        self._directory = Directory(self._control, metrics.announce)
        self._lifecycle = Lifecycle(
            Loader(hardware, self._control.load_seconds, markers),
            metrics,
            open_lane,
            lambda: self.entries,
            self._members,
            self._changed,
            self._control.memory_bytes,
        )
        self._refreshing = asyncio.Lock()
        self._started = False
        self._was_ready = False
        self._watch: Watch | None = None
        self._directory.adopt(scan(repository), starting=True)

    def expect(self, name: str, version: int, sha256: str) -> None:
        """Demand that this version is served with these bytes; before `start`."""
        self._directory.expect(Expected(name, version, sha256))

    # What is there.

    @property
    def entries(self) -> list[Entry]:
        """Every model version found, by name and version."""
        return self._directory.entries

    @property
    def names(self) -> list[str]:
        """Names that a request may use: models, ensembles and routes."""
        return self._directory.names

    @property
    def problems(self) -> list[str]:
        """What in the repository is no model, and what is asked for but not there."""
        return self._directory.problems

    @property
    def ready(self) -> bool:
        """Whether traffic should come here.

        At first only with everything that is loaded at start; later as long as any model answers,
        and the expected one: a version that fails keeps the others' traffic here.
        """
        if not self._was_ready:
            return False
        wanted = [entry for entry in self.entries if entry.state is not State.UNLOADED]
        fine = not wanted or any(entry.served is not None for entry in wanted)
        expected = self._directory.expected
        if expected is None:
            return fine
        entry = self._directory.get(expected.name, expected.version)
        return fine and entry is not None and entry.served is not None

    def versions(self, name: str) -> list[int]:
        """Versions of a model, ascending; raises RequestError (404) for an unknown model."""
        return self._directory.versions(name)

    def entry(self, name: str, version: str | None = None) -> Entry:
        """The entry of a version, the default one if none is named; raises RequestError (404)."""
        return self._directory.entry(name, version)

    def model(self, name: str, version: str | None = None) -> Model:
        """A model that is in memory, for its description; raises RequestError (404, 503)."""
        entry = self.entry(name, version)
        if entry.model is None:
            raise _not_ready(entry)
        return entry.model

    # Who answers.

    def find(self, name: str | None, version: str | None, headers: Mapping[bytes, bytes]) -> Served:
        """Who answers a request: by name, version and, on a route, a header (lower case).

        Raises RequestError 400 (no name, several models), 404, 503 with Retry-After; Loading where
        the version is brought into memory for this request.
        """
        served = self._directory.serving.get((name, version))
        if served is None:
            entry = self._directory.target(name, version, headers)
            served = entry.served
            if served is None:
                if not entry.awaited:
                    raise _not_ready(entry)
                raise Loading(self._demand(entry))
        served.used = time.monotonic()
        return served

    def _demand(self, entry: Entry) -> asyncio.Future[Served]:
        """The one load that all requests for a version wait for."""
        if entry.pending is None or entry.pending.done():
            entry.pending = asyncio.ensure_future(self._load_for_requests(entry))
        return entry.pending

    async def _load_for_requests(self, entry: Entry) -> Served:
        if entry.file.config.ensemble is not None:
            for step in entry.file.config.ensemble.steps:
                member = self.entry(step.model, str(step.version) if step.version else None)
                if member.served is None and member.awaited:
                    await self._demand(member)
        await self._lifecycle.load(entry, again=False)
        if entry.served is None:
            raise _not_ready(entry)
        return entry.served

    # Ensembles.

    def _members(self, entry: Entry) -> Sequence[Model]:
        ensemble = entry.file.config.ensemble
        models = []
        for step in ensemble.steps if ensemble is not None else ():
            try:
                member = self.entry(step.model, str(step.version) if step.version else None)
            except RequestError as error:
                raise ModelLoadError("config", f"ensemble: {error.message}") from None
            if member.file.config.ensemble is not None:
                raise ModelLoadError("config", f"ensemble: {step.model} is an ensemble itself")
            if member.model is None:
                raise ModelLoadError("member", f"ensemble: {member.label} is not ready")
            models.append(member.model)
        return models

    def _changed(self, entry: Entry) -> None:
        """Bring what `find` looks up, and ensembles that run this model, up to date."""
        self._index()
        for other in self.entries:
            if not entry.is_member_of(other):
                continue
            if entry.served is None and other.served is not None:
                reason = f"member {entry.label}: {entry.reason or entry.state}"
                self._lifecycle.fail(other, reason, revive=False)
            elif entry.served is not None and other.state in (State.READY, State.UNAVAILABLE):
                self._lifecycle.spawn(self._lifecycle.load(other))

    def _index(self) -> None:
        self._directory.index()
        if self._started and not self._was_ready and not self.problems:
            required = [entry for entry in self.entries if entry.required]
            self._was_ready = all(entry.served is not None for entry in required)

    # What changes it.

    async def start(self) -> None:
        """Load what is loaded at start, one after the other; then watch, in mode poll."""
        for problem in self.problems:
            _log.error("not a model: %s", problem, extra={"reason": problem})
        self._started = True
        for entry in sorted(self.entries, key=_is_ensemble):
            if entry.required:
                await self._lifecycle.load(entry, again=False, evict=False)
        self._index()
        if self._control.mode == "poll":
            self._watch = Watch(self._control.poll_seconds, self.refresh)
            self._watch.start()

    async def stop(self) -> None:
        """Watch no more; every lane finishes what it was asked."""
        if self._watch is not None:
            await self._watch.stop()
        for entry in self.entries:
            if entry.pending is not None:
                entry.pending.cancel()
        await self._lifecycle.stop()

    async def refresh(self, name: str | None = None) -> None:
        """Compare with the folder (or with one model's): load what is new or changed, then unload.

        A version that a policy drops goes only when one that it keeps is ready.
        """
        async with self._refreshing:
            found = await in_thread(lambda: scan(self._repository, name))
            if name is None and not found.files and self.entries:
                _log.error("the repository is empty: models are kept as they are")
                return
            before = {entry: entry.file for entry in self.entries}
            self._directory.adopt(found, name)
            forced = name is not None
            concerned = [each for each in self.entries if name in (None, each.file.name)]
            for entry in sorted(concerned, key=_is_ensemble):
                if _is_due(entry, before.get(entry), forced=forced):
                    await self._lifecycle.load(entry)
            kept = {(file.name, file.version) for file in found.files}
            for entry in concerned:
                key = (entry.file.name, entry.file.version)
                if key not in kept and entry.file.name not in found.unreadable:
                    await self._drop(entry, gone=key not in found.present)
            self._index()

    async def _drop(self, entry: Entry, gone: bool) -> None:
        siblings = [each for each in self._directory.of(entry.file.name) if each is not entry]
        if gone or any(each.served is not None for each in siblings):
            entry.on_demand = entry.required = False  # no request may wait for it any more
            await self._lifecycle.unload(entry, "no longer in the repository")
            self._directory.remove(entry)
            self._metrics.forget(entry.file.name, entry.file.version)

    async def load_model(self, name: str) -> None:
        """Load a model's versions, again where file or config changed, in mode explicit.

        Raises RequestError: 400 in another mode, 404, 503 where a version cannot be made ready.
        """
        self._by_request()
        await self.refresh(name)
        entries = self._directory.of(name)
        if not entries and not self._directory.has_route(name):
            raise unknown(name)
        for entry in entries:
            entry.on_demand = True
        failed = [entry for entry in entries if entry.reason is not None]
        if failed:
            raise RequestError(503, f"model {failed[0].label}: {failed[0].reason}")

    async def unload_model(self, name: str) -> None:
        """Unload every version of a model; raises RequestError as `load_model` does."""
        self._by_request()
        entries = self._directory.of(name)
        if not entries:
            raise unknown(name)
        for entry in entries:
            entry.on_demand = entry.required = False
            await self._lifecycle.unload(entry)

    def _by_request(self) -> None:
        if self._control.mode != "explicit":
            raise RequestError(400, "models are loaded by request only with MODEL_CONTROL=explicit")

    def model_failed(
        self, name: str, version: int, reason: str, model: Model | None = None
    ) -> None:
        """Take a version out of service that hangs, crashes or fails; it is tried again later.

        With `model`, only if it is still the one in service.
        """
        entry = self._directory.get(name, version)
        if entry is not None and model in (None, entry.model):
            self._lifecycle.fail(entry, reason)


def _is_ensemble(entry: Entry) -> bool:
    return entry.file.config.ensemble is not None


def _is_due(entry: Entry, former: ModelFile | None, *, forced: bool) -> bool:
    """Whether a refresh loads it: new, changed, asked for by name, or failed a while ago."""
    if entry.state in (State.UNLOADED, State.UNLOADING):
        return forced or (former is None and entry.eager)
    if former is not entry.file:
        return True
    failed = entry.state is State.UNAVAILABLE or entry.reason is not None
    return failed and (forced or time.monotonic() >= entry.retry_at)


def _not_ready(entry: Entry) -> RequestError:
    seconds = max(1, min(60, round(entry.retry_at - time.monotonic()))) if entry.failures else 5
    return RequestError(
        503,
        f"model {entry.file.name!r} version {entry.file.version} is not ready",
        {"Retry-After": str(seconds)},
    )
