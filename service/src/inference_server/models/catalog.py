"""The model repository on disk, and what became of each model in it."""

import logging
import time
from dataclasses import dataclass, replace
from pathlib import Path

from inference_server.errors import RequestError
from inference_server.models.model import Hardware, Model, ModelFile, ModelLoadError
from inference_server.models.naming import MODEL_FILE, NAME, VERSION
from inference_server.observability.logs import milliseconds_since
from inference_server.observability.metrics import Metrics

_log = logging.getLogger(__name__)


@dataclass
class Entry:
    """One model version: `loading`, `ready` (with a model) or `failed` (with a reason)."""

    file: ModelFile
    state: str = "loading"
    reason: str | None = None
    model: Model | None = None


@dataclass(frozen=True)
class Scan:
    """What a repository folder holds, and what in it is no model."""

    files: list[ModelFile]
    problems: list[str]


def scan(repository: Path) -> Scan:
    """Read `<model>/<version>/model.onnx`; hidden folders and lost+found are not looked at."""
    files: list[ModelFile] = []
    problems: list[str] = []
    for folder in _folders(repository):
        if not NAME.fullmatch(folder.name):
            problems.append(f"{folder.name}: no model name (letters, digits, '.', '_', '-')")
            continue
        versions = _folders(folder)
        for version in versions:
            if VERSION.fullmatch(version.name):
                files.append(ModelFile(folder.name, int(version.name), version / MODEL_FILE))
            else:
                problems.append(f"{folder.name}/{version.name}: a version is a positive integer")
        if not versions:
            problems.append(f"{folder.name}: no version folder in it")
    if not files and not problems:
        problems.append(f"{repository} is empty: expected <model>/<version>/{MODEL_FILE}")
    return Scan(sorted(files, key=lambda file: (file.name, file.version)), problems)


def _folders(parent: Path) -> list[Path]:
    ignored = {"lost+found"}
    return sorted(
        path
        for path in parent.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in ignored
    )


class Catalog:
    """All models of the repository; loading happens once, in a thread."""

    def __init__(self, repository: Path, hardware: Hardware, metrics: Metrics) -> None:
        self._hardware = hardware
        self._metrics = metrics
        found = scan(repository)
        self.problems = found.problems
        self._entries: dict[str, dict[int, Entry]] = {}
        for file in found.files:
            self._entries.setdefault(file.name, {})[file.version] = Entry(file)
            metrics.announce(file.name, file.version)

    def expect(self, name: str, version: int, sha256: str) -> None:
        """Demand that this version is served with these bytes."""
        entry = self._entries.get(name, {}).get(version)
        if entry is None:
            self.problems.append(
                f"{name}/{version}: expected by MODEL_NAME and MODEL_VERSION, "
                "but not in the model repository"
            )
        else:
            entry.file = replace(entry.file, expected_sha256=sha256)

    @property
    def entries(self) -> list[Entry]:
        """Every model version found, by name and version."""
        return [entry for versions in self._entries.values() for entry in versions.values()]

    @property
    def names(self) -> list[str]:
        """Names of the models found."""
        return list(self._entries)

    @property
    def ready(self) -> bool:
        """Whether everything in the repository is loaded and warm."""
        return not self.problems and all(entry.state == "ready" for entry in self.entries)

    def load(self) -> None:
        """Load every model; one that fails leaves the others alone. Blocks."""
        for problem in self.problems:
            _log.error("not a model: %s", problem, extra={"reason": problem})
        for entry in self.entries:
            self._load(entry)

    def _load(self, entry: Entry) -> None:
        file = entry.file
        facts = {"model_id": file.name, "model_version": file.version}
        start = time.perf_counter()
        try:
            model = Model(file, self._hardware)
        except ModelLoadError as error:
            if error.provider:
                required = self._hardware.require_gpu
                self._metrics.runs_on(file.name, file.version, error.provider, required)
            entry.state, entry.reason = "failed", str(error)
            self._metrics.load_failed(file.name, file.version, error.reason)
            _log.error("model cannot be made ready", extra={**facts, "reason": str(error)})
            return
        entry.state, entry.model = "ready", model
        self._report(model)
        facts |= {"sha256": model.sha256, "provider": model.provider}
        _log.info("model ready", extra={**facts, "duration_ms": milliseconds_since(start)})

    def _report(self, model: Model) -> None:
        name, version = model.name, model.version
        self._metrics.runs_on(name, version, model.provider, self._hardware.require_gpu)
        self._metrics.loaded(name, version, model.sha256, model.contract.framework)
        self._metrics.model(name, version, model.contract.class_names).ready.set(1)

    def versions(self, name: str) -> list[int]:
        """Versions of a model, ascending; raises RequestError (404) for an unknown model."""
        if name not in self._entries:
            raise RequestError(404, f"unknown model {name[:128]!r}")
        return sorted(self._entries[name])

    def entry(self, name: str, version: str | None = None) -> Entry:
        """The entry of a version, the highest by default; raises RequestError (404)."""
        versions = self._entries.get(name)
        if versions is None:
            raise RequestError(404, f"unknown model {name[:128]!r}")
        if version is None:
            return versions[max(versions)]
        number = int(version) if VERSION.fullmatch(version) else 0
        if number not in versions:
            raise RequestError(404, f"model {name!r} has no version {version[:20]!r}")
        return versions[number]

    def model(self, name: str, version: str | None = None) -> Model:
        """A model that can run; raises RequestError (404, or 503 while it is not ready)."""
        entry = self.entry(name, version)
        if entry.model is None:
            raise RequestError(
                503,
                f"model {name!r} version {entry.file.version} is not ready",
                {"Retry-After": "5"},
            )
        return entry.model

    def only_model(self, version: str | None = None) -> Model:
        """The one model of a repository with one; raises RequestError (400) for several."""
        if len(self._entries) != 1:
            raise RequestError(
                400 if self._entries else 503,
                "name a model with ?model=..." if self._entries else "no model is served",
            )
        return self.model(next(iter(self._entries)), version)
