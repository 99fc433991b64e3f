"""Where settings come from: command options, then the environment, then a file, then defaults."""

import os
import tomllib
from argparse import ArgumentParser, BooleanOptionalAction, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo
from pydantic_settings import SettingsError

from inference_server.settings import InvalidSettingsError, Settings

# Title, and the settings in it by the beginnings of their names.
GROUPS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("models", ("model_", "default_model", "poll_", "preload")),
    ("listening and processes", ("host", "port", "grpc_", "workers", "settings_", "state_")),
    ("stopping", ("drain_", "shutdown_")),
    ("running models", ("inference_", "intra_op_", "inline_", "hang_")),
    ("GPU", ("require_gpu", "gpu_", "tensorrt", "engine_")),
    ("limits", ("max_", "deadline_", "request_", "idle_")),
    ("who may ask", ("api_key", "jwt_", "metrics_auth", "rate_limit", "docs", "hsts_")),
    ("logs and traces", ("log_", "trace_", "prediction_")),
)
OTHER = "more"
# What a running server takes over; the rest waits for the next start.
RELOADABLE = frozenset({"log_level", "log_sample_rate", "drain_seconds"})
_HIDDEN = "(hidden)"

_command_line: dict[str, str] = {}


def add_options(parser: ArgumentParser) -> None:
    """Give the parser one option per setting, by groups; one not given leaves None."""
    sections = {title: parser.add_argument_group(title) for title, _ in (*GROUPS, (OTHER, ()))}
    for name, field in Settings.model_fields.items():
        section = sections[group_of(name)]
        option = "--" + name.replace("_", "-")
        if field.annotation is bool:
            section.add_argument(
                option, action=BooleanOptionalAction, default=None, help=_help(name, field)
            )
        else:
            section.add_argument(option, metavar="VALUE", default=None, help=_help(name, field))


def load(options: Namespace) -> Settings:
    """The settings of this process.

    Raises InvalidSettingsError that names every wrong setting, and where it was set.
    """
    _command_line.clear()
    for name in Settings.model_fields:
        if (value := getattr(options, name, None)) is not None:
            _command_line[name] = value
    return reread()


def reread() -> Settings:
    """The settings by the same options, and by what environment and file say now."""
    file = _command_line.get("settings_file") or os.environ.get("SETTINGS_FILE")
    written = _read_file(Path(file)) if file else {}
    values = {name: value for name, value in written.items() if not os.environ.get(name.upper())}
    values.update(_command_line)
    try:
        return Settings(**values)
    except ValidationError as error:
        source = {name: file for name in written if values.get(name) is written[name]}
        raise InvalidSettingsError("\n".join(_explain(error, source))) from None
    except SettingsError as error:
        raise InvalidSettingsError(str(error)) from None


def take_over(current: Settings, read: Settings) -> tuple[Settings, list[str], list[str]]:
    """What holds now, the changes in it, and the changes that wait for the next start."""
    changes, waiting, update = [], [], {}
    for name, field in Settings.model_fields.items():
        before, after = getattr(current, name), getattr(read, name)
        if before == after:
            continue
        shown = _HIDDEN if _secret(field) else f"{before} -> {after}"
        if name in RELOADABLE:
            update[name] = after
            changes.append(f"{name}: {shown}")
        else:
            waiting.append(f"{name}: {shown}")
    return current.model_copy(update=update), changes, waiting


def group_of(name: str) -> str:
    """The title in the help under which a setting stands."""
    for title, beginnings in GROUPS:
        if name.startswith(beginnings):
            return title
    return OTHER


def _help(name: str, field: FieldInfo) -> str:
    text = f"{field.description} (environment: {name.upper()}"
    if field.is_required() or field.default is None:
        return f"{text})".replace("%", "%%")
    default = field.default
    if isinstance(default, bool):
        default = "yes" if default else "no"
    elif isinstance(default, tuple):
        default = ",".join(map(str, default))
    return f"{text}; default: {default})".replace("%", "%%")


def _read_file(file: Path) -> dict[str, Any]:
    try:
        if file.suffix == ".toml":
            content: object = tomllib.loads(file.read_text())
        elif file.suffix in {".yaml", ".yml"}:
            content = yaml.safe_load(file.read_text()) or {}
        else:
            raise InvalidSettingsError(f"{file}: a settings file ends in .toml, .yaml or .yml")
    except OSError as error:
        raise InvalidSettingsError(f"{file}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, yaml.YAMLError, UnicodeDecodeError) as error:
        place = " ".join(str(getattr(error, "problem_mark", None) or error).split())[:200]
        raise InvalidSettingsError(f"{file}: cannot be read: {place}") from None
    if not isinstance(content, Mapping):
        raise InvalidSettingsError(f"{file}: expected `setting: value` lines")
    unknown = [
        str(key) for key in content if key not in Settings.model_fields or key == "settings_file"
    ]
    if unknown:
        lines = [f"{file}: {key[:128]}: no such setting" for key in unknown]
        raise InvalidSettingsError("\n".join(lines))
    return {key: value for key, value in content.items() if value is not None}


def _explain(error: ValidationError, source: Mapping[str, str | None]) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False, include_context=False):
        reason = problem["msg"].removeprefix("Value error, ")
        if problem["loc"]:
            name = str(problem["loc"][0])
            place = f"--{name.replace('_', '-')} ({name.upper()})"
            if source.get(name):
                place = f"{source[name]}: {name}"
            field = Settings.model_fields.get(name)
            got = _HIDDEN if field and _secret(field) else repr(str(problem["input"])[:80])
            reason = f"{place}: {reason}, got {got}"
        lines.append(reason)
    return lines


def _secret(field: FieldInfo) -> bool:
    return "SecretStr" in str(field.annotation)
