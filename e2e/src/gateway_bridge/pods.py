"""The node runner's answer to GET /pods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from gateway_bridge.translate import Pod


def pods_of(entries: Iterable[Mapping[str, Any]]) -> list[Pod]:
    """Pods in an order of their own; an entry that names none is not one."""
    found = [
        Pod(
            namespace=str(entry["namespace"]),
            name=str(entry["name"]),
            address=str(entry.get("address") or ""),
            ready=bool(entry.get("ready")),
            labels={str(k): str(v) for k, v in (entry.get("labels") or {}).items()},
            ports={str(k): int(v) for k, v in (entry.get("ports") or {}).items()},
        )
        for entry in entries
        if isinstance(entry, Mapping) and entry.get("namespace") and entry.get("name")
    ]
    return sorted(found, key=lambda pod: (pod.namespace, pod.name))
