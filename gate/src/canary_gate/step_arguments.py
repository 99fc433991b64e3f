"""Arguments that a Rollout gives to its analyses, and where their values come from."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from canary_gate.arguments import replace_tags
from canary_gate.errors import RefusedError

_METADATA = re.compile(r"metadata\.(?:(name|namespace|uid)|(labels|annotations)\['([^']+)'\])")
#: The controller writes a number from here on with an exponent: 1e+06.
_LONG_NUMBER = 1_000_000


@dataclass(frozen=True)
class StepArgument:
    """An argument of a step: a value, a pod template hash (Latest, Stable) or a field path."""

    name: str
    value: str = ""
    pod_template_hash: str = ""
    field_path: str = ""


def read_argument(argument: Mapping[str, Any]) -> StepArgument:
    """Read one argument of an analysis; raises RefusedError where it is not modelled."""
    for field in argument:
        if field not in ("name", "value", "valueFrom"):
            raise RefusedError(f"args.{field} is not modelled")
    name, value, source = argument.get("name"), argument.get("value"), argument.get("valueFrom")
    if not isinstance(name, str) or not name:
        raise RefusedError("an argument has no name")
    if source is None:
        if not isinstance(value, str):
            raise RefusedError(f"argument {name} must be a string, found {value!r}; quote it")
        return StepArgument(name, value)
    if not isinstance(source, Mapping) or len(source) != 1 or value is not None:
        raise RefusedError(f"argument {name} takes a value or one valueFrom")
    ((kind, given),) = source.items()
    if kind == "podTemplateHashValue" and given in ("Latest", "Stable"):
        return StepArgument(name, pod_template_hash=given)
    if kind == "fieldRef" and isinstance(path := dig(given, "fieldPath"), str):
        return StepArgument(name, field_path=path)
    raise RefusedError(f"argument {name}: valueFrom {kind} {given!r} is not modelled")


def resolve_argument(
    argument: StepArgument,
    rollout: Mapping[str, Any],
    hashes: Mapping[str, str],
    pods: Mapping[str, str] | None,
) -> str:
    """Its value, given the hashes of Latest and Stable and the values of an experiment's tags.

    Raises RefusedError for a path that leads nowhere or to no single value.
    """
    if argument.pod_template_hash:
        return hashes[argument.pod_template_hash]
    if argument.field_path:
        return _field(rollout, argument.field_path)
    return argument.value if pods is None else replace_tags(argument.value, pods)


def dig(value: object, *path: str) -> object:
    """What stands at a path of mappings; None where it ends early."""
    for part in path:
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _field(rollout: Mapping[str, Any], path: str) -> str:
    if path.startswith("metadata"):
        match = _METADATA.fullmatch(path)
        if match is None:
            raise RefusedError(f"fieldPath {path} is not modelled")
        plain, mapping, key = match.groups()
        value = dig(rollout, "metadata", plain) if plain else None
        # A label or annotation that is absent is an empty text, as everywhere in Kubernetes.
        return str((dig(rollout, "metadata", mapping, key) if mapping else value) or "")
    value = rollout
    for section in filter(None, re.split(r"[.\[\]]+", path)):
        value = _child(value, section, path)
    if value is None or isinstance(value, (Mapping, list)):
        raise RefusedError(f"fieldPath {path} leads to no single value of the Rollout")
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, (int, float)) and abs(value) >= _LONG_NUMBER:
        raise RefusedError(f"fieldPath {path} leads to {value}, which is not modelled")
    return str(value)


def _child(value: Any, section: str, path: str) -> Any:
    if isinstance(value, Mapping):
        return value.get(section)
    if isinstance(value, list) and section.isdigit() and int(section) < len(value):
        return value[int(section)]
    raise RefusedError(f"fieldPath {path} does not exist in the Rollout")
