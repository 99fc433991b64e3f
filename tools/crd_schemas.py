"""Turns CustomResourceDefinitions into one JSON Schema file per kind and version."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads a bare `=` (an enum value of prometheus-operator) as the string it is."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


def write(folders: Iterable[Path], schemas: Path, definitions: Path) -> int:
    """Write `<group>/<kind>_<version>.json` below `schemas` and `<name>.json` in `definitions`.

    Returns the number of schemas.
    """
    definitions.mkdir(parents=True)
    count = 0
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            with path.open(encoding="utf-8") as handle:
                documents = list(yaml.load_all(handle, Loader=_Loader))
            for document in filter(_is_definition, documents):
                count += _write_kind(document, schemas)
                name = f"{document['metadata']['name']}.json"
                (definitions / name).write_text(
                    json.dumps(_undescribed(document), separators=(",", ":"))
                )
    return count


def _undescribed(value: Any) -> Any:
    """Without descriptions, two thirds of the bytes: an API server needs seconds for each MB."""
    if isinstance(value, dict):
        return {
            key: _undescribed(below)
            for key, below in value.items()
            if not (key == "description" and isinstance(below, str))
        }
    return [_undescribed(below) for below in value] if isinstance(value, list) else value


def _is_definition(document: dict[str, Any] | None) -> bool:
    return document is not None and document.get("kind") == "CustomResourceDefinition"


def _write_kind(document: dict[str, Any], target: Path) -> int:
    spec = document["spec"]
    folder = target / spec["group"]
    folder.mkdir(parents=True, exist_ok=True)
    for version in spec["versions"]:
        name = f"{spec['names']['kind'].lower()}_{version['name']}.json"
        schema = {**version["schema"]["openAPIV3Schema"], "x-scope": spec["scope"]}
        (folder / name).write_text(json.dumps(schema, separators=(",", ":")))
    return len(spec["versions"])
