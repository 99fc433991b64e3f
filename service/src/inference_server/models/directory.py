"""The versions that are known, and which of them a name, a version and a header mean."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from inference_server.errors import RequestError
from inference_server.models.config import Route
from inference_server.models.entry import Entry, Served
from inference_server.models.model import ModelFile
from inference_server.models.naming import VERSION
from inference_server.models.repository import Scan
from inference_server.models.routing import choose_target

Mode = Literal["none", "poll", "explicit"]


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


class Expected(NamedTuple):
    """The version that has to be served with these bytes."""

    name: str
    version: int
    sha256: str


class Directory:
    """Entries by name and version; `serving` is the table of those that answer at once."""

    def __init__(self, control: Control, announce: Callable[[str, int], None]) -> None:
        """`announce` is told each version that is found."""
        self.problems: list[str] = []
        self.serving: dict[tuple[str | None, str | None], Served] = {}
        self.expected: Expected | None = None
        self._control = control
        self._announce = announce
        self._entries: dict[str, dict[int, Entry]] = {}
        self._routes: dict[str, Route] = {}
        self._defaults: dict[str, int] = {}

    @property
    def entries(self) -> list[Entry]:
        """Every model version found, by name and version."""
        return [entry for versions in self._entries.values() for entry in versions.values()]

    @property
    def names(self) -> list[str]:
        """Names that a request may use: models, ensembles and routes."""
        return [*self._entries, *(name for name in self._routes if name not in self._entries)]

    def of(self, name: str) -> list[Entry]:
        """The versions of a model, ascending; empty where there is none of that name."""
        return list(self._entries.get(name, {}).values())

    def get(self, name: str, version: int) -> Entry | None:
        """The entry of a version, if it is known."""
        return self._entries.get(name, {}).get(version)

    def versions(self, name: str) -> list[int]:
        """Versions of a model, ascending; raises RequestError (404) for an unknown model."""
        entries = self.of(self._behind(name))
        if not entries:
            raise unknown(name)
        return [entry.file.version for entry in entries]

    def entry(self, name: str, version: str | None = None) -> Entry:
        """The entry of a version, the default one if none is named; raises RequestError (404).

        The default is as configured, else the highest that is ready or that a request may load.
        """
        name = self._behind(name)
        versions = self._entries.get(name)
        if not versions:
            raise unknown(name)
        number = self._default(name) if version is None else _number(version)
        if number not in versions:
            raise RequestError(404, f"model {name!r} has no version {str(version)[:20]!r}")
        return versions[number]

    def target(
        self, name: str | None, version: str | None, headers: Mapping[bytes, bytes]
    ) -> Entry:
        """The entry that a request means, by its route if it has one.

        Raises RequestError: 404, or 400 where no model is named and there are several.
        """
        name = self.only_name() if name is None else name
        if version is None and (route := self._routes.get(name)) is not None:
            target = choose_target(route, headers)
            name = target.model or name
            version = str(target.version) if target.version is not None else None
        return self.entry(name, version)

    def only_name(self) -> str:
        """The model of a request that names none; raises RequestError (400, 503)."""
        if self._control.default_model is not None:
            return self._control.default_model
        names = self.names
        if len(names) != 1:
            raise RequestError(
                400 if names else 503,
                "name a model with ?model=..." if names else "no model is served",
            )
        return names[0]

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
        able = [number for number, entry in versions.items() if entry.served or entry.awaited]
        return max(able or versions)

    def index(self) -> None:
        """Rebuild `serving`; names that are routed are not in it without a version."""
        table: dict[tuple[str | None, str | None], Served] = {}
        names = self.names
        alone = self._control.default_model or (names[0] if len(names) == 1 else None)
        for name, versions in self._entries.items():
            keys: dict[str | None, Served] = {
                str(number): each.served for number, each in versions.items() if each.served
            }
            default = versions[self._default(name)].served
            if default is not None and name not in self._routes:
                keys[None] = default
            table |= {(name, key): each for key, each in keys.items()}
            if name == alone:
                table |= {(None, key): each for key, each in keys.items()}
        self.serving = table

    def expect(self, expected: Expected) -> None:
        """Demand that this version is served with these bytes."""
        self.expected = expected
        entry = self.get(expected.name, expected.version)
        if entry is not None:
            entry.required, entry.on_demand, entry.eager = True, False, True
            entry.file = self._with_hash(entry.file)
        self._note_what_is_missing()

    def adopt(self, found: Scan, name: str | None = None, *, starting: bool = False) -> None:
        """Take over what a scan found; what it no longer has stays until `remove`."""
        if name is None:
            self.problems = found.problems
            self._routes, self._defaults = found.routes, found.default_versions
        else:
            self._routes.pop(name, None)
            self._defaults.pop(name, None)
            self._routes |= found.routes
            self._defaults |= found.default_versions
        for file in map(self._with_hash, found.files):
            entry = self.get(file.name, file.version)
            if entry is None:
                self._add(file, starting)
            elif (file.stamp, file.problem) != (entry.file.stamp, entry.file.problem):
                entry.file, entry.memory = file, 0
        self._note_what_is_missing()
        self.index()

    def _add(self, file: ModelFile, starting: bool) -> None:
        control = self._control
        if control.mode == "explicit":
            on_demand = eager = starting and file.name in (control.preload or ())
        else:
            chosen = control.preload is None or file.name in control.preload
            eager = chosen and file.config.preload
            on_demand = not eager or control.memory_bytes is not None
        entry = Entry(file, eager=eager, required=eager and starting, on_demand=on_demand)
        versions = {**self._entries.get(file.name, {}), file.version: entry}
        entries = {**self._entries, file.name: dict(sorted(versions.items()))}
        self._entries = dict(sorted(entries.items()))
        self._announce(file.name, file.version)

    def remove(self, entry: Entry) -> None:
        """Forget a version."""
        versions = self._entries[entry.file.name]
        del versions[entry.file.version]
        if not versions:
            del self._entries[entry.file.name]
        self.index()

    def has_route(self, name: str) -> bool:
        """Whether this name leads to others by a header."""
        return name in self._routes

    def _note_what_is_missing(self) -> None:
        problems = []
        if self.expected is not None and self.get(*self.expected[:2]) is None:
            problems.append(
                f"{self.expected.name}/{self.expected.version}: expected by MODEL_NAME and "
                "MODEL_VERSION, but not in the model repository"
            )
        for name, route in self._routes.items():
            targets = {target.model or name for target in route.targets}
            problems += [
                f"{name}: its route leads to {target!r}, which is not there"
                for target in sorted(targets - set(self._entries))
            ]
        self.problems += [problem for problem in problems if problem not in self.problems]

    def _with_hash(self, file: ModelFile) -> ModelFile:
        if self.expected is not None and self.expected[:2] == (file.name, file.version):
            return replace(file, expected_sha256=self.expected.sha256)
        return file


def unknown(name: str) -> RequestError:
    """There is no model of that name."""
    return RequestError(404, f"unknown model {name[:128]!r}")


def _number(version: str) -> int:
    return int(version) if VERSION.fullmatch(version) else 0
