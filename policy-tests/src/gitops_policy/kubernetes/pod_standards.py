"""The Pod Security Standards: which revision and level of them holds in a run."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.pods import Container, Pod
from gitops_policy.world import World

BASELINE = "https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline"
RESTRICTED = "https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted"

# Annotations of a pod, with the name of a container behind it.
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
# The revisions that matter; before 1.25 every version is judged as 1.25.
OLDEST = 25
RESERVED_PORTS = 27
KEEPALIVE = 29
CONTAINER_ENGINE = 31
SOCKET_MEMORY = 32
PROBE_HOSTS = 34
USER_NAMESPACES = 35
_NEWEST = 10_000


def contexts(pod: Pod) -> Iterator[tuple[Pod | Container, dict[str, Any]]]:
    """Yield the pod and each container with its own security context."""
    yield pod, pod.security_context
    for container in pod.containers:
        yield container, container.security_context


def revision(world: World) -> int:
    """Return the minor version of the standards that holds; an unknown version is the newest."""
    version = re.match(r"v?1\.(\d+)", world.config.kubernetes_version)
    return max(OLDEST, int(version[1])) if version else _NEWEST


def in_user_namespace(pod: Pod, world: World) -> bool:
    """Say whether root in the pod is nobody on the node, as the standards see it since 1.35."""
    return pod.spec.get("hostUsers") is False and revision(world) >= USER_NAMESPACES


def left_to_restricted(pod: Pod, world: World) -> bool:
    """Say whether the profile's restricted check, blind to Windows, replaces the baseline one."""
    return pod.windows and world.config.profile == "pss-restricted"
