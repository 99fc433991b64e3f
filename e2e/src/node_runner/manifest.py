"""Types of what the API server sends: plain JSON."""

from typing import Any

Manifest = dict[str, Any]


def metadata(manifest: Manifest) -> Manifest:
    """Return `metadata`, or nothing of it."""
    return manifest.get("metadata") or {}


def name_of(manifest: Manifest) -> str:
    """Return `namespace/name`, or the name of what has no namespace."""
    found = metadata(manifest)
    namespace = found.get("namespace")
    return f"{namespace}/{found['name']}" if namespace else str(found["name"])
