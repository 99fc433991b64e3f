"""Arguments of an analysis: merged over its templates and put in place of `{{args.x}}`."""

import re
from collections.abc import Iterable, Mapping
from typing import Any

from canary_gate.errors import RefusedError
from canary_gate.template import AnalysisTemplate, Argument

_TAG = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)


def merge_arguments(
    templates: Iterable[AnalysisTemplate], given: Mapping[str, str]
) -> dict[str, str]:
    """Flatten the declared arguments, then let the given ones win.

    Raises RefusedError for two defaults that differ and for an argument without a value.
    """
    declared: dict[str, Argument] = {}
    for template in templates:
        for argument in template.arguments:
            before = declared.get(argument.name)
            if before and before.value not in (None, argument.value) and argument.value is not None:
                raise RefusedError(
                    f"argument {argument.name} has the value {argument.value!r} here and "
                    f"{before.value!r} in another template of the same step",
                    template=template.name,
                )
            if before is None or before.value is None:
                declared[argument.name] = argument
    values = {name: given.get(name, argument.value) for name, argument in declared.items()}
    missing = sorted(name for name, value in values.items() if value is None)
    if missing:
        names = ", ".join(sorted(template.name for template in templates))
        raise RefusedError(f"no value for argument {', '.join(missing)}", template=names)
    return {name: value for name, value in values.items() if value is not None}


def substitute(text: str, arguments: Mapping[str, str]) -> str:
    """Replace every `{{args.x}}`; raises RefusedError for one that cannot be."""
    return replace_tags(text, {f"args.{name}": value for name, value in arguments.items()})


def replace_tags(text: str, values: Mapping[str, str]) -> str:
    """Replace every `{{x}}` by the value of x; raises RefusedError where there is none."""

    def value(match: re.Match[str]) -> str:
        name = match.group(1).strip()
        if name not in values:
            raise RefusedError(f"failed to resolve {match.group()}")
        return values[name]

    if "{{" in _TAG.sub("", text):
        raise RefusedError("'{{' without '}}'")
    return _TAG.sub(value, text)


def substitute_all(value: Any, arguments: Mapping[str, str]) -> Any:
    """Replace every `{{args.x}}` in the texts of a job's manifest, names of fields included."""
    if isinstance(value, str):
        return substitute(value, arguments)
    if isinstance(value, Mapping):
        return {
            substitute(str(key), arguments): substitute_all(item, arguments)
            for key, item in value.items()
        }
    if isinstance(value, list):
        return [substitute_all(item, arguments) for item in value]
    return value
