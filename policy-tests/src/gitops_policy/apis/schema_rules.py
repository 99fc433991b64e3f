"""The validation rules of CRD schemas (`x-kubernetes-validations`), evaluated on objects."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.apis.catalogue import VALIDATIONS
from gitops_policy.apis.schemas import Schema
from gitops_policy.fields import Path, entries, mapping, text
from gitops_policy.notations.cel import holds

_DEEPEST = 60


def defaulted(value: Any, schema: Schema, depth: int = 0) -> Any:
    """Return a value with the defaults that the API server fills in before it looks at rules.

    A field that is null is one that is not there.
    """
    if depth > _DEEPEST:
        return value
    if isinstance(value, list):
        items = mapping(schema, "items")
        return [defaulted(item, items, depth + 1) for item in value]
    if not isinstance(value, dict):
        return value
    properties = mapping(schema, "properties")
    others = mapping(schema, "additionalProperties")
    whole = {name: item for name, item in value.items() if item is not None}
    for name, part in properties.items():
        if isinstance(part, dict) and "default" in part:
            whole.setdefault(name, part["default"])
    return {
        name: defaulted(item, mapping(properties, name) or others, depth + 1)
        for name, item in whole.items()
    }


def broken(value: Any, schema: Schema, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield place and message of each rule that does not hold; `value` has its defaults.

    Rules on a change (`oldSelf`) have nothing to say about one state.
    """
    if len(path) > _DEEPEST or not schema:
        return
    for _, rule in entries(schema, VALIDATIONS) if VALIDATIONS in schema else ():
        expression = text(rule, "rule")
        if "oldSelf" not in expression and holds(expression, value) is False:
            yield (*path, *_steps(text(rule, "fieldPath"))), text(rule, "message") or expression
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from broken(item, mapping(schema, "items"), (*path, i))
    elif isinstance(value, dict):
        properties = mapping(schema, "properties")
        others = mapping(schema, "additionalProperties")
        for name, item in value.items():
            part = mapping(properties, name) or others
            yield from broken(item, part, (*path, name))


def _steps(field_path: str) -> Path:
    """Read the fieldPath of a rule, `.a.b`; other forms point to the object itself."""
    parts = field_path.split(".")[1:]
    return (
        tuple(parts) if field_path.startswith(".") and all(p.isidentifier() for p in parts) else ()
    )
