"""Validation against the schemas of Kubernetes and of custom resource definitions.

Two dialects: the built-in kinds' JSON Schemas (strict, from the package kubernetes-validate) and
CRDs' structural schemas, where an unknown field is an error unless the schema preserves it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from gitops_policy.fields import Path

Schema = dict[str, Any]
Fault = tuple[Path, str]

_ROOT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_TYPES: dict[str, Callable[[Any], bool]] = {
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
    "string": lambda value: isinstance(value, str),
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "null": lambda value: value is None,
}
_INT32 = range(-(2**31), 2**31)


class Validator:
    """Checks values against schemas of one dialect.

    `definitions` resolves `$ref` by the last part of its path. With `structural`, fields that a
    schema does not name are errors, as the API server's strict field validation has it.
    """

    def __init__(self, definitions: dict[str, Schema], *, structural: bool) -> None:
        self.definitions = definitions
        self.structural = structural

    def faults(self, value: Any, schema: Schema, path: Path = ()) -> Iterator[Fault]:
        """Yield every place where the value breaks the schema, with the reason."""
        yield from self._check(value, schema, path, fields=True)

    def _check(self, value: Any, schema: Schema, path: Path, *, fields: bool) -> Iterator[Fault]:
        if "$ref" in schema:
            name = schema["$ref"].rpartition("/")[2]
            yield from self._check(value, self.definitions[name], path, fields=fields)
            return
        if value is None and (schema.get("nullable") or (self.structural and "default" in schema)):
            return
        wrong = _wrong_type(value, schema)
        if wrong:
            yield path, wrong
            return
        yield from ((path, message) for message in _scalar_faults(value, schema))
        yield from self._combined(value, schema, path)
        if isinstance(value, dict):
            yield from self._object(value, schema, path, fields=fields)
        elif isinstance(value, list) and isinstance(schema.get("items"), dict):
            for i, item in enumerate(value):
                yield from self._check(item, schema["items"], (*path, i), fields=fields)

    def _object(
        self, value: Schema, schema: Schema, path: Path, *, fields: bool
    ) -> Iterator[Fault]:
        properties = schema.get("properties") or {}
        for name in schema.get("required") or ():
            if name not in value:
                yield (*path, name), "is required"
        more = schema.get("additionalProperties")
        unknown = self._refuses_unknown(schema, path) if fields else False
        for name, item in value.items():
            if name in properties:
                yield from self._check(item, properties[name], (*path, name), fields=fields)
            elif isinstance(more, dict):
                yield from self._check(item, more, (*path, name), fields=fields)
            elif unknown and not (_is_object_root(schema, path) and name in _ROOT_FIELDS):
                yield (*path, name), "is no field of this object; is it misspelled or misplaced?"

    def _refuses_unknown(self, schema: Schema, path: Path) -> bool:
        more = schema.get("additionalProperties")
        if not self.structural:
            return more is False
        if schema.get("x-kubernetes-preserve-unknown-fields") or more is True:
            return False
        return not (path and path[-1] == "metadata" and not schema.get("properties"))

    def _combined(self, value: Any, schema: Schema, path: Path) -> Iterator[Fault]:
        for part in schema.get("allOf") or ():
            yield from self._check(value, part, path, fields=False)
        if "anyOf" in schema and not self._matching(value, schema["anyOf"]):
            yield path, _explain("fits none of the allowed forms", schema["anyOf"])
        if "oneOf" in schema:
            number = self._matching(value, schema["oneOf"])
            if number != 1:
                how = "none" if number == 0 else "several"
                yield (
                    path,
                    _explain(f"fits {how} of the forms that exclude each other", schema["oneOf"]),
                )
        if "not" in schema and self._matching(value, [schema["not"]]):
            yield path, _explain("has a forbidden form", [schema["not"]])

    def _matching(self, value: Any, schemas: list[Schema]) -> int:
        return sum(
            next(self._check(value, schema, (), fields=False), None) is None for schema in schemas
        )


def _is_object_root(schema: Schema, path: Path) -> bool:
    return not path or bool(schema.get("x-kubernetes-embedded-resource"))


def _explain(message: str, forms: list[Schema]) -> str:
    required = [" and ".join(form["required"]) for form in forms if form.get("required")]
    return f"{message}: {'; or '.join(required)}" if required else message


def _wrong_type(value: Any, schema: Schema) -> str:
    if schema.get("x-kubernetes-int-or-string"):
        allowed = ["integer", "string"]
    elif isinstance(schema.get("type"), list):
        allowed = schema["type"]
    elif schema.get("type"):
        allowed = [schema["type"]]
    else:
        return ""
    if any(_TYPES[name](value) for name in allowed if name in _TYPES):
        return ""
    wanted = " or ".join(name for name in allowed if name != "null")
    return f"is {_shown(value)}, not of type {wanted}"


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "null" if value is None else repr(value)


def _scalar_faults(value: Any, schema: Schema) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        options = ", ".join(map(str, schema["enum"]))
        yield f"is {_shown(value)}, not one of {options}"
    if isinstance(value, str):
        yield from _text_faults(value, schema)
    elif isinstance(value, list):
        yield from _size_faults(len(value), schema, "Items", "items")
        if schema.get("uniqueItems") and any(item in value[:i] for i, item in enumerate(value)):
            yield "holds the same item twice"
    elif isinstance(value, dict):
        yield from _size_faults(len(value), schema, "Properties", "fields")
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield from _number_faults(value, schema)


def _text_faults(value: str, schema: Schema) -> Iterator[str]:
    yield from _size_faults(len(value), schema, "Length", "characters")
    pattern = schema.get("pattern")
    if pattern and not _searches(pattern, value):
        yield f"is {value!r}, which does not match {pattern}"


def _searches(pattern: str, value: str) -> bool:
    try:
        return re.search(pattern.replace("[:alnum:]", "a-zA-Z0-9"), value) is not None
    except re.error:
        return True  # RE2 syntax that Python lacks: the API server decides


def _size_faults(size: int, schema: Schema, suffix: str, unit: str) -> Iterator[str]:
    low, high = schema.get(f"min{suffix}"), schema.get(f"max{suffix}")
    if low is not None and size < low:
        yield f"has {size} {unit}, fewer than {low}"
    if high is not None and size > high:
        yield f"has {size} {unit}, more than {high}"


def _number_faults(value: float, schema: Schema) -> Iterator[str]:
    low, high = schema.get("minimum"), schema.get("maximum")
    if low is not None and (value < low or (value == low and schema.get("exclusiveMinimum"))):
        yield f"is {value}, below {low}"
    if high is not None and (value > high or (value == high and schema.get("exclusiveMaximum"))):
        yield f"is {value}, above {high}"
    if schema.get("format") == "int32" and isinstance(value, int) and value not in _INT32:
        yield f"is {value}, too large for 32 bits"
    if schema.get("multipleOf") and value % schema["multipleOf"]:
        yield f"is {value}, no multiple of {schema['multipleOf']}"
