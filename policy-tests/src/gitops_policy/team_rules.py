"""Rules of your own: from folders, and from installed packages by entry point."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "gitops_policy.rules"
_PACKAGE_DATA = (".dist-info", ".egg-info")

_modules: dict[Path, str] = {}


class RuleLoadError(Exception):
    """A rule of somebody else that cannot be imported: which file, which line and why."""


def load_folder(folder: Path) -> set[str]:
    """Import every module of a folder once and return their names.

    Files that start with `_` or `test_` are left out. Raises RuleLoadError with file, line and
    reason.
    """
    home = folder.resolve()
    if not home.is_dir():
        raise RuleLoadError(f"{folder}: no such folder of rules")
    files = [f for f in sorted(home.glob("*.py")) if not f.name.startswith(("_", "test_"))]
    if not files:
        raise RuleLoadError(f"{folder}: no rules in this folder (*.py)")
    for file in files:
        if file not in _modules:
            _modules[file] = _import(file)
    return {_modules[file] for file in files}


def from_folders() -> set[str]:
    """Return the names of all modules that were imported from folders."""
    return set(_modules.values())


def load_entry_points() -> None:
    """Import the modules that installed packages name in the entry point group.

    Raises RuleLoadError with the entry point, its package and the reason.
    """
    for entry in entry_points(GROUP):
        try:
            entry.load()
        except Exception as error:
            raise RuleLoadError(f"entry point {_shown(entry)}: {_reason(error)}") from error


def entry_points(group: str) -> Iterable[EntryPoint]:
    """Return the entry points of a group; the slow library is asked only where one may be."""
    if not any(_may_announce(Path(folder), group.encode()) for folder in sys.path):
        return ()
    from importlib import metadata

    return metadata.entry_points(group=group)


def _may_announce(folder: Path, group: bytes) -> bool:
    """Say whether a package installed in a folder of `sys.path` names the group."""
    if not folder.is_dir():
        return folder.exists()
    with os.scandir(folder) as found:
        packages = [entry.path for entry in found if entry.name.endswith(_PACKAGE_DATA)]
    files = (Path(package, "entry_points.txt") for package in packages)
    return any(group in file.read_bytes() for file in files if file.is_file())


def _shown(entry: EntryPoint) -> str:
    package = f" of {entry.dist.name}" if entry.dist else ""
    return f"{entry.name} = {entry.value}{package}"


def _import(file: Path) -> str:
    from hashlib import sha256

    name = f"gitops_policy_rules_{sha256(str(file.parent).encode()).hexdigest()[:8]}.{file.stem}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise RuleLoadError(f"{file}: is no Python module")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        del sys.modules[name]
        raise RuleLoadError(f"{_place(file, error)}: {_reason(error)}") from error
    return name


def _place(file: Path, error: Exception) -> str:
    """Return file and line of the last step inside the file; a syntax error has its own."""
    import traceback

    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    steps = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    return f"{file}:{steps[-1]}" if steps else str(file)


def _reason(error: Exception) -> str:
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {said}"
