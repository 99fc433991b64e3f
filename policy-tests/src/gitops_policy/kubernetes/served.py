"""Which apiVersions of a kind the cluster serves, as far as its schemas say."""

from __future__ import annotations

from gitops_policy.model import Resource
from gitops_policy.world import World

# Kinds of Kubernetes that stand in no schema any more, and where they went.
_MOVED = {
    "extensions/Ingress": "networking.k8s.io/v1",
    "extensions/NetworkPolicy": "networking.k8s.io/v1",
    "extensions/Deployment": "apps/v1",
    "extensions/DaemonSet": "apps/v1",
    "extensions/ReplicaSet": "apps/v1",
    "policy/PodSecurityPolicy": "Pod Security admission (namespace labels)",
    "extensions/PodSecurityPolicy": "Pod Security admission (namespace labels)",
}


def is_custom(resource: Resource, world: World) -> bool:
    """Say whether the kind is none of Kubernetes' own, today's or former."""
    return resource.group_kind not in _MOVED and resource.group not in world.core.groups


def served(resource: Resource, world: World) -> list[str]:
    """Return the apiVersions that serve the kind of an object; none where no schema knows it.

    Of a kind that moved: what took its place.
    """
    if resource.group_kind in _MOVED:
        return [_MOVED[resource.group_kind]]
    if not is_custom(resource, world):
        return world.core.versions(resource.group, resource.kind)
    return world.custom.versions(resource.group, resource.kind) if world.custom else []


def is_removed(resource: Resource, world: World) -> bool:
    """Say whether other apiVersions serve the kind of an object, but not its own."""
    versions = served(resource, world)
    return bool(versions) and resource.api_version not in versions
