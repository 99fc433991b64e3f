"""Which models there are, which of their versions answers a request, and what may change that."""

import asyncio
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from inference_server.errors import RequestError
from inference_server.models.config import Route
from inference_server.models.entry import Entry, Lane, Loading, OpenLane, Served, State
from inference_server.models.failures import ModelLoadError
from inference_server.models.hardware import Hardware
from inference_server.models.lifecycle import Lifecycle
from inference_server.models.loader import in_thread
from inference_server.models.model import Model, ModelFile
from inference_server.models.naming import VERSION
from inference_server.models.repository import Scan, scan
from inference_server.models.routing import choose_target
from inference_server.models.watch import Watch
from inference_server.observability.metrics import Metrics

__all__ = ["Catalog", "Control", "Entry", "Lane", "Loading", "Served", "State"]

Mode = Literal["none", "poll", "explicit"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Control:
    """Who decides what is in memory: the start, the folder or requests; times in seconds.

    `preload` names what is loaded at start: everything by default, nothing in mode explicit.
    `memory_bytes` bounds what models may take together.
    """

    mode: Mode = "none"
    poll_seconds: float = 10.0
    preload: frozenset[str] | None = None
    memory_bytes: int | None = None
    load_seconds: float = 600.0
    default_model: str | None = None


class Catalog:
    """All models of the repository; methods belong to the event loop's thread."""

    def __init__(
        self,
        repository: Path,
        hardware: Hardware,
        metrics: Metrics,
        open_lane: OpenLane,
        control: Control | None = None,
    ) -> None:
        """Look at the repository; nothing is loaded before `start`."""
        self._repository = repository
        self._metrics = metrics
        self._control = control or Control()
        self._expected: tuple[str, int, str] | None = None
        self._entries: dict[str, dict[int, Entry]] = {}
        self._serving: dict[tuple[str | None, str | None], Served] = {}
        self._routes: dict[str, Route] = {}
        self._defaults: dict[str, int] = {}
        self.problems: list[str] = []
        self._refreshing = asyncio.Lock()
        self._started = False
        self._was_ready = False
        self._watch: Watch | None = None
        self._lifecycle = Lifecycle(
            hardware,
            metrics,
            open_lane,
            lambda: self.entries,
            self._members,
            self._changed,
            self._control.memory_bytes,
            self._control.load_seconds,
        )
        self._adopt(scan(repository), starting=True)

    def expect(self, name: str, version: int, sha256: str) -> None:
        """Demand that this version is served with these bytes; before `start`."""
        self._expected = (name, version, sha256)
        entry = self._entries.get(name, {}).get(version)
        if entry is not None:
            entry.required, entry.on_demand, entry.eager = True, False, True
            entry.file = self._with_hash(entry.file)
        self._check()

    # What is there.

    @property
    def entries(self) -> list[Entry]:
        """Every model version found, by name and version."""
        return [entry for versions in self._entries.values() for entry in versions.values()]

    @property
    def names(self) -> list[str]:
        """Names that a request may use: models, ensembles and routes."""
        return [*self._entries, *(name for name in self._routes if name not in self._entries)]

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
        return fine and self._expected_is_served()

    def _began(self) -> bool:
        """Whether everything that is loaded at start has been."""
        required = all(entry.served is not None for entry in self.entries if entry.required)
        return self._started and not self.problems and required

    def _expected_is_served(self) -> bool:
        if self._expected is None:
            return True
        name, version, _ = self._expected
        entry = self._entries.get(name, {}).get(version)
        return entry is not None and entry.served is not None

    def versions(self, name: str) -> list[int]:
        """Versions of a model, ascending; raises RequestError (404) for an unknown model."""
        name = self._behind(name)
        if name not in self._entries:
            raise _unknown(name)
        return sorted(self._entries[name])

    def entry(self, name: str, version: str | None = None) -> Entry:
        """The entry of a version, the default one if none is named; raises RequestError (404).

        The default is as configured, else the highest that is ready or that a request may load.
        """
        name = self._behind(name)
        versions = self._entries.get(name)
        if not versions:
            raise _unknown(name)
        if version is None:
            return versions[self._default(name)]
        number = int(version) if VERSION.fullmatch(version) else 0
        if number not in versions:
            raise RequestError(404, f"model {name!r} has no version {version[:20]!r}")
        return versions[number]

    def _behind(self, name: str) -> str:
        """The model that a name without files of its own stands for: its route's first target."""
        if name in self._routes and name not in self._entries:
            return self._routes[name].targets[0].model or name
        return name

    def _default(self, name: str) -> int:
        versions = self._entries[name]
        configured = self._defaults.get(name)
        if configured in versions:
            return configured
        able = [n for n, entry in versions.items() if entry.served is not None or _awaited(entry)]
        return max(able or versions)

    # Who answers.

    def find(self, name: str | None, version: str | None, headers: Mapping[bytes, bytes]) -> Served:
        """Who answers a request: by name, version and, on a route, a header (lower case).

        Raises RequestError 400 (no name, several models), 404, 503 with Retry-After; Loading where
        the version is brought into memory for this request.
        """
        served = self._serving.get((name, version))
        if served is None:
            served = self._resolve(name, version, headers)
        served.used = time.monotonic()
        return served

    def _resolve(
        self, name: str | None, version: str | None, headers: Mapping[bytes, bytes]
    ) -> Served:
        if name is None:
            name = self._only_name()
        if version is None and (route := self._routes.get(name)) is not None:
            target = choose_target(route, headers)
            name = target.model or name
            version = str(target.version) if target.version is not None else None
        entry = self.entry(name, version)
        if entry.served is not None:
            return entry.served
        if not _awaited(entry):
            raise _not_ready(entry)
        raise Loading(self._demand(entry))

    def _only_name(self) -> str:
        if self._control.default_model is not None:
            return self._control.default_model
        names = self.names
        if len(names) != 1:
            raise RequestError(
                400 if names else 503,
                "name a model with ?model=..." if names else "no model is served",
            )
        return names[0]

    def _demand(self, entry: Entry) -> asyncio.Future[Served]:
        """The one load that all requests for a version wait for."""
        if entry.pending is None or entry.pending.done():
            entry.pending = asyncio.ensure_future(self._load_for_requests(entry))
        return entry.pending

    def model(self, name: str, version: str | None = None) -> Model:
        """A model that is in memory, for its description; raises RequestError (404, 503)."""
        entry = self.entry(name, version)
        if entry.model is None:
            raise _not_ready(entry)
        return entry.model

    def only_model(self, version: str | None = None) -> Model:
        """The model of a request that names none; raises RequestError (400, 404, 503)."""
        return self.model(self._only_name(), version)

    async def _load_for_requests(self, entry: Entry) -> Served:
        if entry.file.config.ensemble is not None:
            for step in entry.file.config.ensemble.steps:
                member = self.entry(step.model, str(step.version) if step.version else None)
                if member.served is None and _awaited(member):
                    await self._demand(member)
        await self._lifecycle.load(entry, again=False)
        if entry.served is None:
            raise _not_ready(entry)
        return entry.served

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
        """Rebuild the table of `find`; names that are routed are not in it without a version."""
        table: dict[tuple[str | None, str | None], Served] = {}
        names = self.names
        alone = self._control.default_model or (names[0] if len(names) == 1 else None)
        for name, versions in self._entries.items():
            keys: dict[str | None, Served] = {
                str(number): each.served for number, each in versions.items() if each.served
            }
            default = versions[self._default(name)].served if versions else None
            if default is not None and name not in self._routes:
                keys[None] = default
            table |= {(name, key): each for key, each in keys.items()}
            if name == alone:
                table |= {(None, key): each for key, each in keys.items()}
        self._serving = table
        self._was_ready = self._was_ready or self._began()

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

    # What changes it.

    async def start(self) -> None:
        """Load what is loaded at start, one after the other; then watch, in mode poll."""
        self._started = True
        for problem in self.problems:
            _log.error("not a model: %s", problem, extra={"reason": problem})
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
            await self._refresh(name)

    async def _refresh(self, name: str | None) -> None:
        found = await in_thread(lambda: scan(self._repository, name))
        before = {entry: entry.file for entry in self.entries}
        self._adopt(found, name)
        for entry in sorted(self.entries, key=_is_ensemble):
            former = before.get(entry)
            if name in (None, entry.file.name) and _is_due(entry, former, forced=name is not None):
                await self._lifecycle.load(entry)
        kept = {(file.name, file.version) for file in found.files}
        for entry in self.entries:
            key = (entry.file.name, entry.file.version)
            if name in (None, key[0]) and key not in kept:
                await self._drop(entry, gone=key not in found.present)

    async def _drop(self, entry: Entry, gone: bool) -> None:
        siblings = self._entries[entry.file.name].values()
        if not gone and not any(e.served for e in siblings if e is not entry):
            return
        await self._lifecycle.unload(entry, "no longer in the repository")
        del self._entries[entry.file.name][entry.file.version]
        if not self._entries[entry.file.name]:
            del self._entries[entry.file.name]
        self._metrics.forget(entry.file.name, entry.file.version)
        self._index()

    async def load_model(self, name: str) -> None:
        """Load a model's versions, again where file or config changed, in mode explicit.

        Raises RequestError: 400 in another mode, 404, 503 where a version cannot be made ready.
        """
        self._by_request()
        await self.refresh(name)
        entries = self._entries.get(name)
        if not entries:
            raise _unknown(name)
        for entry in entries.values():
            entry.on_demand = True
        failed = [entry for entry in entries.values() if entry.reason is not None]
        if failed:
            raise RequestError(503, f"model {failed[0].label}: {failed[0].reason}")

    async def unload_model(self, name: str) -> None:
        """Unload every version of a model; raises RequestError as `load_model` does."""
        self._by_request()
        if name not in self._entries:
            raise _unknown(name)
        for entry in list(self._entries[name].values()):
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
        entry = self._entries.get(name, {}).get(version)
        if entry is not None and model in (None, entry.model):
            self._lifecycle.fail(entry, reason)

    def _adopt(self, found: Scan, name: str | None = None, *, starting: bool = False) -> None:
        """Take over what a scan found; what it no longer has is left to `refresh`."""
        if name is None:
            self.problems = found.problems
            self._routes, self._defaults = found.routes, found.default_versions
        else:
            self._routes.pop(name, None)
            self._defaults.pop(name, None)
            self._routes |= found.routes
            self._defaults |= found.default_versions
        for file in map(self._with_hash, found.files):
            entry = self._entries.setdefault(file.name, {}).get(file.version)
            if entry is None:
                self._entries[file.name][file.version] = self._new_entry(file, starting)
                self._metrics.announce(file.name, file.version)
            elif (file.stamp, file.problem) != (entry.file.stamp, entry.file.problem):
                entry.file = file
        self._entries = {
            key: dict(sorted(self._entries[key].items())) for key in sorted(self._entries)
        }
        self._check()
        self._index()

    def _check(self) -> None:
        """Note what is asked for but not there."""
        problems = []
        if self._expected is not None and self._expected[1] not in self._entries.get(
            self._expected[0], {}
        ):
            problems.append(
                f"{self._expected[0]}/{self._expected[1]}: expected by MODEL_NAME and "
                "MODEL_VERSION, but not in the model repository"
            )
        for name, route in self._routes.items():
            targets = {target.model or name for target in route.targets}
            problems += [
                f"{name}: its route leads to {target!r}, which is not there"
                for target in sorted(targets - set(self._entries))
            ]
        self.problems += [problem for problem in problems if problem not in self.problems]

    def _new_entry(self, file: ModelFile, starting: bool) -> Entry:
        control = self._control
        if control.mode == "explicit":
            required = starting and file.name in (control.preload or ())
            return Entry(file, eager=False, required=required, on_demand=required)
        eager = file.config.preload and (control.preload is None or file.name in control.preload)
        on_demand = not eager or control.memory_bytes is not None
        required = eager and starting
        return Entry(file, eager=eager, required=required, on_demand=on_demand)

    def _with_hash(self, file: ModelFile) -> ModelFile:
        if self._expected is not None and self._expected[:2] == (file.name, file.version):
            return replace(file, expected_sha256=self._expected[2])
        return file


def _is_ensemble(entry: Entry) -> bool:
    return entry.file.config.ensemble is not None


def _is_due(entry: Entry, former: ModelFile | None, *, forced: bool) -> bool:
    """Whether a refresh loads it: new, changed, asked for by name, or failed a while ago."""
    if entry.state is State.UNLOADED:
        return forced or (former is None and entry.eager)
    if former is not entry.file:
        return True
    failed = entry.state is State.UNAVAILABLE or entry.reason is not None
    return failed and (forced or time.monotonic() >= entry.retry_at)


def _awaited(entry: Entry) -> bool:
    """Whether a request may wait for this version to be loaded."""
    if not entry.on_demand:
        return False
    return entry.state is not State.UNAVAILABLE or time.monotonic() >= entry.retry_at


def _unknown(name: str) -> RequestError:
    return RequestError(404, f"unknown model {name[:128]!r}")


def _not_ready(entry: Entry) -> RequestError:
    seconds = max(1, min(60, round(entry.retry_at - time.monotonic()))) if entry.failures else 5
    return RequestError(
        503,
        f"model {entry.file.name!r} version {entry.file.version} is not ready",
        {"Retry-After": str(seconds)},
    )
