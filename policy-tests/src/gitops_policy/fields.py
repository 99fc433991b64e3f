"""Tolerant access to fields of untrusted manifests, and JSON pointers into them."""

from __future__ import annotations

from typing import Any

Step = str | int
Path = tuple[Step, ...]


def field(value: object, *path: Step) -> Any:
    """Return the value at `path`, or None where a step is missing or has another type."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step)
        elif isinstance(value, list) and isinstance(step, int) and -len(value) <= step < len(value):
            value = value[step]
        else:
            return None
    return value


def mapping(value: object, *path: Step) -> dict[str, Any]:
    """Return the mapping at `path`; anything else reads as an empty mapping."""
    found = field(value, *path)
    return found if isinstance(found, dict) else {}


def sequence(value: object, *path: Step) -> list[Any]:
    """Return the list at `path`; anything else reads as an empty list."""
    found = field(value, *path)
    return found if isinstance(found, list) else []


def text(value: object, *path: Step) -> str:
    """Return the string at `path`; anything else reads as an empty string."""
    found = field(value, *path)
    return found if isinstance(found, str) else ""


def entries(value: object, *path: Step) -> list[tuple[int, dict[str, Any]]]:
    """Return the mappings of the list at `path` with their positions; other items are left out."""
    return [(i, item) for i, item in enumerate(sequence(value, *path)) if isinstance(item, dict)]


def quoted(value: object) -> str:
    """Write a field's value in a message; a missing one in words."""
    return "not set" if value is None else repr(value)


def pointer(path: Path) -> str:
    """Write a path as a JSON pointer (RFC 6901)."""
    return "".join("/" + str(step).replace("~", "~0").replace("/", "~1") for step in path)


def steps(json_pointer: str) -> Path:
    """Read a JSON pointer; steps made of digits become list positions."""
    parts = json_pointer.split("/")[1:]
    return tuple(
        int(part) if part.isdecimal() else part.replace("~1", "/").replace("~0", "~")
        for part in parts
    )
