"""Variants of real objects: one change each, found by walking the object and its schema."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass
from random import Random
from typing import Any

from gitops_policy.apis.catalogue import BuiltIn, Custom

Manifest = dict[str, Any]
Path = tuple[Any, ...]
Schema = dict[str, Any]

# What addresses an object is no matter of its schema.
ADDRESS = {("apiVersion",), ("kind",), ("metadata", "namespace")}
TEXTS = (
    "", " ", "a", "A_b", "-", "a b", "é", "a" * 64, "a" * 300, "a.example.com", "*.example.com",
    "http", "80", "1h", "5 minutes", "25%", "/a", "$(x)", "https://example.com", "10.0.0.0/8",
)  # fmt: skip
QUANTITIES = ("1", "500m", "1.5", "1Gi", "1e3", "-1", "1GB", "1 Gi", "", "0x10", ".5", "1K", "1k")
DURATIONS = (
    "1h", "90s", "1h30m", "1.5h", "5", "0", "1d", "5 minutes", "-5s", "", "1h 30m", "500ms",
)  # fmt: skip
NUMBERS = (-1, 0, 1, 1.5, 7, 2**31, 2**63, "7", True)
_QUANTITY = re.compile(r"[0-9.]+(m|k|[KMGT]i?)?")
_DURATION = re.compile(r"([0-9.]+(ms|s|m|h))+")
_DEEPEST = 7


@dataclass(frozen=True, slots=True)
class Variant:
    """An object with one change; made only where it is asked for, most variants never are."""

    original: Manifest
    path: Path
    value: Any
    change: str

    @property
    def kind(self) -> str:
        """The kind of the object."""
        return str(self.original["kind"])

    @property
    def field(self) -> str:
        """The place of the change, list positions as `*`."""
        steps = ("*" if isinstance(step, int) else str(step) for step in self.path)
        return ".".join(steps) or "(object)"

    @property
    def manifest(self) -> Manifest:
        """The object with its change."""
        return _changed(self.original, self.path, self.value)


class Schemas:
    """The schemas of both dialects, followed along the path of an object."""

    def __init__(self, core: BuiltIn, own: Custom) -> None:
        self._core, self._own = core, own

    def of(self, manifest: Manifest) -> Schema:
        """Return the schema of an object's kind."""
        api_version, kind = manifest["apiVersion"], manifest["kind"]
        found = self._core.schema(api_version, kind) or self._own.schema(api_version, kind)
        if found is None:
            raise LookupError(f"no schema of {api_version} {kind}")
        return found

    def resolved(self, schema: Schema) -> Schema:
        """Follow references to definitions."""
        while "$ref" in schema:
            schema = self._core.definitions[schema["$ref"].rpartition("/")[2]]
        return schema

    def below(self, schema: Schema, step: Any) -> Schema:
        """Return the schema of a field or of an item; empty where there is none."""
        schema = self.resolved(schema)
        if isinstance(step, int):
            found = schema.get("items")
        else:
            found = (schema.get("properties") or {}).get(step, schema.get("additionalProperties"))
        return self.resolved(found) if isinstance(found, dict) else {}


def variants(manifest: Manifest, schemas: Schemas, random: Random) -> Iterator[Variant]:
    """Yield every variant of an object."""
    for path, value, schema in _nodes(manifest, schemas.of(manifest), schemas):
        if path in ADDRESS:
            continue
        for change, new in _changes(path, value, schema, schemas, random):
            yield Variant(manifest, path, new, change)


class _Gone:
    """Stands for a field that is not there."""


GONE = _Gone()


def _nodes(
    value: Any, schema: Schema, schemas: Schemas, path: Path = ()
) -> Iterator[tuple[Path, Any, Schema]]:
    schema = schemas.resolved(schema)
    yield path, value, schema
    children: Iterable[tuple[Any, Any]] = ()
    if isinstance(value, dict):
        children = value.items()
    elif isinstance(value, list):
        children = enumerate(value)
    for step, item in children:
        yield from _nodes(item, schemas.below(schema, step), schemas, (*path, step))


def _changes(
    path: Path, value: Any, schema: Schema, schemas: Schemas, random: Random
) -> Iterator[tuple[str, Any]]:
    if path:
        yield "dropped", GONE
        yield "null", None
        yield "in a list", [value]
        yield "in an object", {str(path[-1]): value}
    if isinstance(value, dict):
        yield from _of_object(path, value, schema, schemas, random)
    elif isinstance(value, list):
        yield "empty list", []
        yield "text for a list", "a"
        yield "object for a list", {}
        if value:
            yield "first item twice", [value[0], *value]
            yield "null as an item", [*value, None]
    else:
        yield from _of_scalar(value, schema)


def _of_object(
    path: Path, value: Manifest, schema: Schema, schemas: Schemas, random: Random
) -> Iterator[tuple[str, Any]]:
    if path:
        yield "empty object", {}
        yield "text for an object", "a"
        yield "list for an object", []
    yield "unknown field", {**value, "oracle": "a"}
    for name in value:
        if path or (name,) not in ADDRESS | {("metadata",)}:
            misspelled = {(f"{key}s" if key == name else key): item for key, item in value.items()}
            yield f"{name} misspelled", misspelled
    absent = [name for name in schema.get("properties") or {} if name not in value]
    for name in absent:
        if name == "status":
            continue
        part = schemas.below(schema, name)
        yield f"{name} added", {**value, name: example(part, schemas, random)}
        yield f"{name} added wrongly", {**value, name: random.choice(("a b", 7, True, {}, []))}


def _of_scalar(value: Any, schema: Schema) -> Iterator[tuple[str, Any]]:
    yield "object for a scalar", {"a": "b"}
    if isinstance(value, bool):
        for new in (not value, "true", 1):
            yield f"{new!r}", new
        return
    if isinstance(value, int | float):
        bounds = [schema[name] + step for name, step in (("minimum", -1), ("maximum", 1))
                  if isinstance(schema.get(name), int | float)]  # fmt: skip
        for new in (*NUMBERS, *bounds):
            yield f"{new!r}", new
    if isinstance(value, str):
        for new in _texts(value, schema):
            yield f"{_short(new)!r}", new
        yield "7", 7
        yield "True", True


def _texts(value: str, schema: Schema) -> Iterator[str]:
    yield from TEXTS
    if _DURATION.fullmatch(value):
        yield from DURATIONS
    elif _QUANTITY.fullmatch(value):
        yield from QUANTITIES
    for option in (schema.get("enum") or ())[:4]:
        if isinstance(option, str):
            yield option
            yield option.swapcase()
    yield value + "!"
    yield value.upper()
    yield f" {value}"


def _short(text: str) -> str:
    return text if len(text) < 30 else f"{text[:8]}... ({len(text)})"


def _changed(manifest: Manifest, path: Path, new: Any) -> Manifest:
    """Copy the object with another value at the path."""
    if not path:
        return deepcopy(new) if isinstance(new, dict) else manifest
    copied = deepcopy(manifest)
    holder: Any = copied
    for step in path[:-1]:
        holder = holder[step]
    if new is GONE:
        del holder[path[-1]]
    else:
        holder[path[-1]] = deepcopy(new)
    return copied


def example(schema: Schema, schemas: Schemas, random: Random, depth: int = 0) -> Any:
    """Make a value that a schema asks for, as far as a schema tells."""
    schema = schemas.resolved(schema)
    if schema.get("enum"):
        return random.choice([option for option in schema["enum"] if option is not None])
    kind = schema.get("type")
    kind = next((name for name in kind if name != "null"), None) if isinstance(kind, list) else kind
    if schema.get("x-kubernetes-int-or-string") or ("oneOf" in schema and kind is None):
        return random.choice((1, "25%", "http"))
    if kind == "object" or "properties" in schema:
        return _example_object(schema, schemas, random, depth)
    if kind == "array":
        return [example(schema.get("items") or {}, schemas, random, depth + 1)]
    if kind in ("integer", "number"):
        return random.choice((schema.get("minimum", 1), schema.get("maximum", 10), 1))
    return random.choice((True, False)) if kind == "boolean" else _example_text(schema, random)


def _example_object(schema: Schema, schemas: Schemas, random: Random, depth: int) -> Manifest:
    properties = schema.get("properties") or {}
    names = list(schema.get("required") or ())
    optional = [name for name in properties if name not in names]
    if optional and depth < _DEEPEST and (not names or random.random() < 0.3):
        names.append(random.choice(optional))
    more = schema.get("additionalProperties")
    content = {
        name: example(schemas.below(schema, name), schemas, random, depth + 1) for name in names
    }
    if not properties and isinstance(more, dict):
        content["key"] = example(more, schemas, random, depth + 1)
    return content


FORMATS = {"date-time": "2026-01-02T03:04:05Z", "byte": "YQ==", "int-or-string": "1"}
EXAMPLES: Sequence[str] = (
    "a", "example.com", "1h", "10s", "1Gi", "/a", "example.com/a", "https://example.com",
    "10.0.0.0/8", "10.0.0.1", "GET", "sha256:" + "a" * 64, "TCP", "Always",
)  # fmt: skip


def _example_text(schema: Schema, random: Random) -> str:
    if schema.get("format") in FORMATS:
        return FORMATS[schema["format"]]
    try:
        fitting = [t for t in EXAMPLES if re.search(schema.get("pattern") or "", t)]
    except re.error:
        fitting = []
    return random.choice(fitting or EXAMPLES) if schema.get("pattern") else "a"


def chosen(found: Iterable[Variant], most: int, random: Random) -> list[Variant]:
    """Return variants of one kind, no two of the same change of the same field."""
    distinct = {(variant.field, variant.change): variant for variant in found}
    ordered = [distinct[key] for key in sorted(distinct)]
    return random.sample(ordered, min(most, len(ordered)))
