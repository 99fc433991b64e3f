"""Rules of your own: from folders, and from installed packages by entry point."""

from __future__ import annotations

import sys
import traceback
from importlib.metadata import EntryPoint, entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

GROUP = "gitops_policy.rules"

_loaded: set[Path] = set()


class RuleLoadError(Exception):
    """A rule of somebody else that cannot be imported: which file, which line and why."""


def load_folder(folder: Path) -> None:
    """Import every module of a folder once; files that start with `_` or `test_` are left out.

    Raises RuleLoadError with file, line and reason.
    """
    home = folder.resolve()
    if not home.is_dir():
        raise RuleLoadError(f"{folder}: no such folder of rules")
    files = [f for f in sorted(home.glob("*.py")) if not f.name.startswith(("_", "test_"))]
    if not files:
        raise RuleLoadError(f"{folder}: no rules in this folder (*.py)")
    for file in files:
        if file not in _loaded:
            _import(file)
            _loaded.add(file)


def load_entry_points() -> None:
    """Import the modules that installed packages name in the entry point group.

    Raises RuleLoadError with the entry point, its package and the reason.
    """
    for entry in entry_points(group=GROUP):
        try:
            entry.load()
        except Exception as error:
            raise RuleLoadError(f"entry point {_shown(entry)}: {_reason(error)}") from error


def _shown(entry: EntryPoint) -> str:
    package = f" of {entry.dist.name}" if entry.dist else ""
    return f"{entry.name} = {entry.value}{package}"


def _import(file: Path) -> None:
    name = f"gitops_policy_rules_of_{file.parent.name.replace('-', '_')}.{file.stem}"
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


def _place(file: Path, error: Exception) -> str:
    """Return file and line of the last step inside the file; a syntax error has its own."""
    if isinstance(error, SyntaxError) and error.filename:
        return f"{error.filename}:{error.lineno}"
    steps = [f.lineno for f in traceback.extract_tb(error.__traceback__) if f.filename == str(file)]
    return f"{file}:{steps[-1]}" if steps else str(file)


def _reason(error: Exception) -> str:
    said = error.msg if isinstance(error, SyntaxError) else str(error)
    return f"{type(error).__name__}: {said}"
