"""Turns CustomResourceDefinitions into one JSON Schema file per kind and version."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

import yaml


class _Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads a bare `=` (an enum value of prometheus-operator) as the string it is."""


_Loader.add_constructor("tag:yaml.org,2002:value", lambda _, node: node.value)


def write(folders: Iterable[Path], target: Path) -> int:
    """Write `<group>/<kind>_<version>.json` below `target`; the number of files written."""
    count = 0
    for folder in folders:
        for path in sorted(folder.glob("*.yaml")):
            with path.open(encoding="utf-8") as handle:
                documents = list(yaml.load_all(handle, Loader=_Loader))
            count += sum(_write_kind(document, target) for document in documents if document)
    return count


def _write_kind(document: dict[str, object], target: Path) -> int:
    if document.get("kind") != "CustomResourceDefinition":
        return 0
    spec = document["spec"]
    assert isinstance(spec, dict)  # noqa: S101
    folder = target / spec["group"]
    folder.mkdir(parents=True, exist_ok=True)
    for version in spec["versions"]:
        name = f"{spec['names']['kind'].lower()}_{version['name']}.json"
        schema = {**version["schema"]["openAPIV3Schema"], "x-scope": spec["scope"]}
        (folder / name).write_text(json.dumps(schema, separators=(",", ":")))
    return len(spec["versions"])
