"""Gateway API: where a route leads to, which listeners it means, what a grant allows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, text
from gitops_policy.model import Resource
from gitops_policy.world import World

GATEWAY = "gateway.networking.k8s.io"
ROUTES = [f"{GATEWAY}/{kind}Route" for kind in ("HTTP", "GRPC", "TCP", "TLS", "UDP")]


def backends(route: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each backendRef of a route with its path."""
    for i, entry in entries(route.spec, "rules"):
        for j, backend in entries(entry, "backendRefs"):
            yield ("spec", "rules", i, "backendRefs", j), backend


def granted(user: Resource, namespace: str, kind: str, name: str, world: World) -> bool:
    """Say whether a ReferenceGrant lets `user` refer to an object of another namespace."""
    return any(
        _names_user(grant, user)
        and any(
            text(to, "kind") == kind and not text(to, "group") and text(to, "name") in ("", name)
            for _, to in entries(grant.spec, "to")
        )
        for grant in world.index.of_kind(f"{GATEWAY}/ReferenceGrant")
        if grant.namespace == namespace
    )


def _names_user(grant: Resource, user: Resource) -> bool:
    wanted = (user.group, user.kind, user.namespace)
    return any(
        (text(source, "group"), text(source, "kind"), text(source, "namespace")) == wanted
        for _, source in entries(grant.spec, "from")
    )


def listeners(gateway: Resource) -> dict[str, dict[str, Any]]:
    """Return the listeners of a Gateway by name."""
    return {text(item, "name"): item for _, item in entries(gateway.spec, "listeners")}


def named_listeners(gateway: Resource, parent: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield the listeners that a parentRef means; none where the section does not exist."""
    section, port = text(parent, "sectionName"), parent.get("port")
    for name, listener in listeners(gateway).items():
        if section in ("", name) and port in (None, listener.get("port")):
            yield listener


def hosts_meet(one: str, other: str) -> bool:
    """Say whether two host names, of which each may be a wildcard, have a host in common."""
    if one == other:
        return True
    for wild, plain in ((one, other), (other, one)):
        if wild.startswith("*.") and plain.endswith(wild[1:]):
            return True
    return False
