"""The model repository on disk: `<model>/<version>/model.onnx`, a config.yaml beside either."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inference_server.models.config import (
    CONFIG_FILE,
    ConfigError,
    ModelConfig,
    Route,
    make_config,
    read_config,
)
from inference_server.models.model import ModelFile
from inference_server.models.naming import MODEL_FILE, NAME, VERSION

_IGNORED = {"lost+found"}


@dataclass
class Scan:
    """What a repository folder holds, and what in it is no model.

    `files` are the versions that the policies choose, `present` all that are there, `unreadable`
    the models of which nothing is known at present.
    """

    files: list[ModelFile] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    present: set[tuple[str, int]] = field(default_factory=set)
    unreadable: set[str] = field(default_factory=set)
    routes: dict[str, Route] = field(default_factory=dict)
    default_versions: dict[str, int] = field(default_factory=dict)


def scan(repository: Path, name: str | None = None) -> Scan:
    """Read the repository, or one model's folder; hidden folders and lost+found are not looked at.

    Raises OSError where the repository itself cannot be read.
    """
    found = Scan()
    for folder in _folders(repository):
        if name is not None and folder.name != name:
            continue
        if NAME.fullmatch(folder.name):
            _scan_model(folder, found)
        else:
            found.problems.append(
                f"{folder.name[:128]}: no model name (letters, digits, '.', '_', '-')"
            )
    if name is None and not (found.files or found.routes or found.problems):
        found.problems.append(f"{repository} is empty: expected <model>/<version>/{MODEL_FILE}")
    found.files.sort(key=lambda file: (file.name, file.version))
    return found


def stamp(path: Path) -> tuple[int, ...]:
    """What changes when a file does; empty where there is none."""
    try:
        status = path.stat()
    except OSError:
        return ()
    return (status.st_mtime_ns, status.st_size, status.st_ino)


def _scan_model(folder: Path, found: Scan) -> None:
    try:
        subfolders = _folders(folder)
    except (FileNotFoundError, NotADirectoryError):
        return  # removed since
    except OSError as error:
        found.unreadable.add(folder.name)
        found.problems.append(f"{folder.name}: cannot be read ({error.strerror})")
        return
    versions = []
    for each in subfolders:
        if VERSION.fullmatch(each.name):
            versions.append(int(each.name))
        else:
            found.problems.append(
                f"{folder.name}/{each.name[:128]}: a version is a positive integer"
            )
    try:
        keys = read_config(folder)
        config = make_config(folder / CONFIG_FILE, keys)
    except ConfigError as error:
        if not versions:
            found.problems.append(str(error))
        for version in versions:
            _add(found, ModelFile(folder.name, version, _path(folder, version), problem=str(error)))
        return
    _note_model(folder, config, versions, found)
    found.present |= {(folder.name, version) for version in versions}
    for version in config.version_policy.choose(versions):
        _add(found, _read_version(folder, version, keys))


def _note_model(folder: Path, config: ModelConfig, versions: list[int], found: Scan) -> None:
    """What concerns the model rather than a version: route, default version, ensemble."""
    if config.route is not None:
        found.routes[folder.name] = config.route
    if config.default_version is not None:
        found.default_versions[folder.name] = config.default_version
    if config.ensemble is not None and not versions:
        path = folder / CONFIG_FILE
        _add(found, ModelFile(folder.name, 1, path, config=config, stamp=stamp(path)))
    elif config.ensemble is not None:
        found.problems.append(f"{folder.name}: an ensemble has no version folders")
    elif not versions and config.route is None:
        found.problems.append(f"{folder.name}: no version folder in it")


def _read_version(folder: Path, version: int, inherited: Mapping[str, Any]) -> ModelFile:
    path = _path(folder, version)
    try:
        keys = read_config(path.parent, inherited)
        config = make_config(path.parent / CONFIG_FILE, keys)
    except ConfigError as error:
        return ModelFile(folder.name, version, path, problem=str(error))
    mark = (*stamp(path), repr(config))
    return ModelFile(folder.name, version, path, config=config, stamp=mark)


def _add(found: Scan, file: ModelFile) -> None:
    found.files.append(file)
    found.present.add((file.name, file.version))


def _path(folder: Path, version: int) -> Path:
    return folder / str(version) / MODEL_FILE


def _folders(parent: Path) -> list[Path]:
    return sorted(
        path
        for path in parent.iterdir()
        if path.is_dir() and not path.name.startswith(".") and path.name not in _IGNORED
    )
