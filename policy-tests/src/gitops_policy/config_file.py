"""The configuration file: where it is found, how it is read, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import MISSING, fields
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from gitops_policy.config import COMMAND_ONLY, Config, ConfigError, OneOf, answering
from gitops_policy.fields import Path as FieldPath
from gitops_policy.reading.kustomization import shown
from gitops_policy.reading.manifests import ManifestError, Source, read_file
from gitops_policy.registry import rules

NAME = ".gitops-policy.yaml"
_TYPES: Mapping[type, tuple[str, str]] = {
    str: ("string", "text"),
    Path: ("string", "a path"),
    bool: ("boolean", "true or false"),
    int: ("integer", "a whole number"),
    float: ("number", "a number"),
}


def find_config(paths: Iterable[str]) -> Path | None:
    """Return the one `.gitops-policy.yaml` that applies to all paths, None where there is none.

    It is the nearest in the folder of a path or above it, up to the root of its Git repository.
    Raises ConfigError where two files apply.
    """
    found = {name: _nearest(Path.cwd() if name == "-" else Path(name)) for name in paths}
    files = sorted({file for file in found.values() if file})
    if len(files) > 1:
        both = " and ".join(shown(file) for file in files[:2])
        raise ConfigError(f"{both} apply to different paths: choose one with --config")
    return files[0] if files else None


def _nearest(path: Path) -> Path | None:
    place = path.resolve()
    start = place if place.is_dir() else place.parent
    chain = [start, *start.parents]
    roots = [position for position, folder in enumerate(chain) if (folder / ".git").exists()]
    for folder in chain[: roots[0] + 1] if roots else chain[:1]:
        if (folder / NAME).is_file():
            return folder / NAME
    return None


def read_config(file: Path, *, trusted: bool = True) -> dict[str, Any]:
    """Return the settings of a file by field of `Config`; its paths count from its folder.

    A file that is not `trusted`, because nobody named it, must not bring rules: they are code.
    Raises ManifestError with file, line, field and what is allowed.
    """
    sources = [source for source in read_file(file, shown(file)) if source.content is not None]
    if len(sources) > 1:
        raise ManifestError("is one document, not several", shown(file), sources[1].line())
    if not sources:
        return {}
    settings = _settings(sources[0], file.resolve().parent)
    if settings.get("rules") and not trusted:
        reason = f"runs code of what is linted: allow it with --config {shown(file)}"
        raise _UnfitError(("rules",), reason).at(sources[0])
    _check_names(settings, sources[0])
    return settings


def _settings(source: Source, folder: Path) -> dict[str, Any]:
    if not isinstance(source.content, dict):
        raise ManifestError("the configuration is not a mapping", source.file, source.line())
    settings = {}
    for name, value in source.content.items():
        if name not in _hints():
            close = get_close_matches(name, _hints(), n=1)
            meant = f"did you mean {close[0]}?" if close else f"one of {', '.join(_hints())}"
            raise _UnfitError((name,), f"no such setting; {meant}").at(source)
        try:
            settings[name] = _typed(_hints()[name], value, (name,), folder)
        except _UnfitError as unfit:
            raise unfit.at(source) from None
    return settings


def _check_names(settings: Mapping[str, Any], source: Source) -> None:
    """Raise for a rule that does not exist, at its line."""
    known = rules(*settings.get("rules", ()))
    for name in ("only", "skip", "severity"):
        for position, rule in enumerate(settings.get(name, ())):
            try:
                answering(rule, known)
            except ConfigError as error:
                step = rule if name == "severity" else position
                raise _UnfitError((name, step), str(error)).at(source) from None


class _UnfitError(Exception):
    """A value that does not fit: where in the file and what is allowed."""

    def __init__(self, path: FieldPath, reason: str) -> None:
        super().__init__(reason)
        self.path, self.reason = path, reason

    def at(self, source: Source) -> ManifestError:
        name = ".".join(str(step) for step in self.path)
        return ManifestError(f"{name}: {self.reason}", source.file, source.line(self.path))


@cache
def _hints() -> Mapping[str, Any]:
    hints = get_type_hints(Config, include_extras=True)
    return {f.name: hints[f.name] for f in fields(Config)
            if COMMAND_ONLY not in hints[f.name].__metadata__}  # fmt: skip


def _typed(
    hint: Any, value: object, path: FieldPath, folder: Path, one_of: OneOf | None = None
) -> Any:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        allowed = next((note for note in arguments if isinstance(note, OneOf)), None)
        return _typed(arguments[0], value, path, folder, allowed)
    if origin is UnionType:
        if value is None:
            return None
        return _typed(_something(arguments), value, path, folder, one_of)
    if origin is tuple or origin is Sequence:
        if not isinstance(value, list):
            raise _UnfitError(path, f"must be a list, not {_called(value)}")
        return tuple(
            _typed(arguments[0], v, (*path, i), folder, one_of) for i, v in enumerate(value)
        )
    if origin is Mapping:
        if not isinstance(value, dict):
            raise _UnfitError(path, f"must be a mapping, not {_called(value)}")
        return {k: _typed(arguments[1], v, (*path, k), folder, one_of) for k, v in value.items()}
    return _scalar(hint, value, path, folder, one_of)


def _scalar(kind: type, value: object, path: FieldPath, folder: Path, one_of: OneOf | None) -> Any:
    if value is False and one_of and "off" in one_of.values:
        return "off"  # what a YAML 1.1 reader makes of a bare `off`
    accepted = {Path: (str,), float: (int, float)}.get(kind, (kind,))
    if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
        quotes = " (in quotes)" if kind is str and isinstance(value, int | float) else ""
        raise _UnfitError(path, f"must be {_TYPES[kind][1]}{quotes}, not {_called(value)}")
    if one_of and value not in one_of.values:
        raise _UnfitError(path, f"must be one of {', '.join(one_of.values)}, not {value!r}")
    return folder / str(value) if kind is Path else value


def _called(value: object) -> str:
    names = {dict: "a mapping", list: "a list", NoneType: "empty"}
    return names.get(type(value), repr(value))


def _something(arguments: Iterable[Any]) -> Any:
    return next(argument for argument in arguments if argument is not NoneType)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema of the configuration file, for editors."""
    defaults = {f.name: f.default if f.default is not MISSING else _made(f) for f in fields(Config)}
    properties = {}
    for name, hint in _hints().items():
        described = {"description": hint.__metadata__[0], **_schema(hint)}
        if defaults[name] is not None:
            described["default"] = _plain(defaults[name])
        properties[name] = described
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"Configuration of gitops-policy ({NAME})",
        "type": "object",
        "additionalProperties": False,
        "properties": properties,
    }


def _made(field: Any) -> Any:
    return field.default_factory()


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _schema(hint: Any, one_of: OneOf | None = None) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        allowed = next((note for note in arguments if isinstance(note, OneOf)), None)
        return _schema(arguments[0], allowed)
    if origin is UnionType:
        schema = _schema(_something(arguments), one_of)
        return {**schema, "type": [schema["type"], "null"]}
    if origin is tuple or origin is Sequence:
        return {"type": "array", "items": _schema(arguments[0], one_of)}
    if origin is Mapping:
        return {"type": "object", "additionalProperties": _schema(arguments[1], one_of)}
    values = {"enum": list(one_of.values)} if one_of else {}
    return {"type": _TYPES[hint][0], **values}
