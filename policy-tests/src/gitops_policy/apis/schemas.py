"""Validation against the schemas of Kubernetes and of custom resource definitions.

Two dialects: the built-in kinds' JSON Schemas (strict, from the package kubernetes-validate) and
CRDs' structural schemas, where an unknown field is an error unless the schema preserves it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from gitops_policy.fields import Path, Step

Schema = dict[str, Any]
Fault = tuple[Path, str]

_ROOT_FIELDS = frozenset({"apiVersion", "kind", "metadata"})
_UNKNOWN = "is no field of this object; is it misspelled or misplaced?"
_COMBINED = frozenset({"allOf", "anyOf", "oneOf", "not"})
_BOUNDS = frozenset({
    "enum", "pattern", "uniqueItems", "minimum", "maximum", "multipleOf", "minLength", "maxLength",
    "minItems", "maxItems", "minProperties", "maxProperties",
})  # fmt: skip
_TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "boolean": (bool,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}
_INT32 = range(-(2**31), 2**31)
_INT64 = range(-(2**63), 2**63)


class Validator:
    """Checks values against schemas of one dialect.

    `definitions` resolves `$ref` by the last part of its path. With `structural`, fields that a
    schema does not name are errors, as the API server's strict field validation has it.
    """

    def __init__(self, definitions: Mapping[str, Schema], *, structural: bool) -> None:
        self.definitions = definitions
        self.structural = structural
        self._forms: dict[int, _Form] = {}

    def faults(self, value: Any, schema: Schema, path: Path = ()) -> list[Fault]:
        """Return every place where the value breaks the schema, with the reason."""
        name = path[-1] if path else None
        found = self._check(value, schema, name, fields=True)
        return [((*path, *where), reason) for where, reason in found]

    def _form(self, schema: Schema) -> _Form:
        """Return what the schema asks for, worked out once; the schema is kept, so its id is."""
        found = self._forms.get(id(schema))
        if found is None:
            target = schema
            while "$ref" in target:
                target = self.definitions[target["$ref"].rpartition("/")[2]]
            found = self._forms[id(schema)] = _Form(schema, target, structural=self.structural)
        return found

    def _check(self, value: Any, schema: Schema, name: Step | None, *, fields: bool) -> list[Fault]:
        """Return the faults with paths that count from the value, which stands under `name`."""
        form = self._form(schema)
        if value is None and form.void:
            return []
        if form.allowed and type(value) not in form.types and not _is_of(value, form.types):
            return [((), _wrong_type(value, form))]
        found: list[Fault] = []
        if form.bounded:
            found += [((), reason) for reason in _scalar_faults(value, form.schema)]
        if form.combined:
            found += self._combined(value, form.schema)
        if isinstance(value, dict):
            found += self._object(value, form, name, fields=fields)
        elif isinstance(value, list) and form.items is not None:
            found += _repeated(value, form.keys) if form.keys else []
            for i, item in enumerate(value):
                if faults := self._check(item, form.items, i, fields=fields):
                    found += _below(i, faults)
        return found

    def _object(
        self, value: Schema, form: _Form, name: Step | None, *, fields: bool
    ) -> list[Fault]:
        open_ended = form.more if isinstance(form.more, dict) else None
        found: list[Fault] = [
            ((key,), "is required")
            for key in form.required
            if key not in value or self._pruned(value[key], form.properties.get(key, open_ended))
        ]
        for key, item in value.items():
            schema = form.properties.get(key, open_ended)
            if schema is not None:
                if self._pruned(item, schema):
                    continue
                if faults := self._check(item, schema, key, fields=fields):
                    found += _below(key, faults)
            elif fields and form.refuses(key, name, structural=self.structural):
                found.append(((key,), _UNKNOWN))
        return found

    def _pruned(self, value: Any, schema: Schema | None) -> bool:
        """Say whether a field of a custom kind is one that the API server takes as absent."""
        return (
            self.structural and value is None and schema is not None and not self._form(schema).void
        )

    def _combined(self, value: Any, schema: Schema) -> list[Fault]:
        found: list[Fault] = []
        for part in schema.get("allOf") or ():
            found += self._check(value, part, None, fields=False)
        if "anyOf" in schema and not self._matching(value, schema["anyOf"]):
            found.append(((), _explain("fits none of the allowed forms", schema["anyOf"])))
        if "oneOf" in schema:
            number = self._matching(value, schema["oneOf"])
            if number != 1:
                how = "none" if number == 0 else "several"
                said = f"fits {how} of the forms that exclude each other"
                found.append(((), _explain(said, schema["oneOf"])))
        if "not" in schema and self._matching(value, [schema["not"]]):
            found.append(((), _explain("has a forbidden form", [schema["not"]])))
        return found

    def _matching(self, value: Any, schemas: list[Schema]) -> int:
        return sum(not self._check(value, schema, None, fields=False) for schema in schemas)


class _Form:
    """One schema, read once: `$ref` followed, types as Python's, what is absent left out."""

    __slots__ = (
        "allowed", "bounded", "combined", "items", "kept", "keys", "more", "properties", "required",
        "schema", "types", "void",
    )  # fmt: skip

    def __init__(self, kept: Schema, schema: Schema, *, structural: bool) -> None:
        self.kept, self.schema = kept, schema
        self.allowed = _allowed(schema)
        self.types = tuple(kind for name in self.allowed for kind in _TYPES.get(name, ()))
        self.void = bool(schema.get("nullable") or (structural and "default" in schema))
        self.bounded = not _BOUNDS.isdisjoint(schema) or "integer" in self.allowed
        self.keys: list[str] = schema.get("x-kubernetes-list-map-keys") or [] if structural else []
        self.combined = not _COMBINED.isdisjoint(schema)
        self.properties: dict[str, Schema] = schema.get("properties") or {}
        self.required: list[str] = schema.get("required") or []
        self.more: Any = schema.get("additionalProperties")
        items = schema.get("items")
        self.items: Schema | None = items if isinstance(items, dict) else None

    def refuses(self, key: str, name: Step | None, *, structural: bool) -> bool:
        """Say whether a field that the schema does not name is an error."""
        if not structural:
            unknown = self.more is False
        elif self.schema.get("x-kubernetes-preserve-unknown-fields") or self.more is True:
            unknown = False
        else:
            unknown = not (name == "metadata" and not self.properties)
        root = name is None or self.schema.get("x-kubernetes-embedded-resource")
        return unknown and not (root and key in _ROOT_FIELDS)


def _repeated(items: list[Any], keys: list[str]) -> list[Fault]:
    """Return the items of a list that have the keys of another one."""
    seen: list[list[Any]] = []
    found: list[Fault] = []
    for i, item in enumerate(items):
        key = [item.get(name) for name in keys] if isinstance(item, dict) else []
        if key and key in seen:
            shown = ", ".join(f"{n} {v!r}" for n, v in zip(keys, key, strict=True))
            found.append(((i,), f"has the {shown} of another item"))
        seen.append(key)
    return found


def _below(step: Step, faults: list[Fault]) -> list[Fault]:
    return [((step, *where), reason) for where, reason in faults]


def _allowed(schema: Schema) -> list[str]:
    if schema.get("x-kubernetes-int-or-string"):
        return ["integer", "string"]
    kind = schema.get("type")
    return kind if isinstance(kind, list) else [kind] if kind else []


def _is_of(value: Any, types: tuple[type, ...]) -> bool:
    return isinstance(value, types) and (not isinstance(value, bool) or bool in types)


def _wrong_type(value: Any, form: _Form) -> str:
    wanted = " or ".join(name for name in form.allowed if name != "null")
    return f"is {_shown(value)}, not of type {wanted}"


def _explain(message: str, forms: list[Schema]) -> str:
    required = [" and ".join(form["required"]) for form in forms if form.get("required")]
    return f"{message}: {'; or '.join(required)}" if required else message


def _shown(value: Any) -> str:
    if isinstance(value, dict | list):
        return "an object" if isinstance(value, dict) else "a list"
    return "null" if value is None else repr(value)


def _scalar_faults(value: Any, schema: Schema) -> Iterator[str]:
    if "enum" in schema and value not in schema["enum"]:
        options = ", ".join(str(option) for option in schema["enum"] if option not in ("", None))
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
        plain = pattern.replace("[:alnum:]", "a-zA-Z0-9").replace("(?i)", "")
        flags = re.IGNORECASE if "(?i)" in pattern else 0
        return re.search(plain, value, flags) is not None
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
    elif isinstance(value, int) and value not in _INT64:
        yield f"is {value}, too large for 64 bits"
    if schema.get("multipleOf") and value % schema["multipleOf"]:
        yield f"is {value}, no multiple of {schema['multipleOf']}"
