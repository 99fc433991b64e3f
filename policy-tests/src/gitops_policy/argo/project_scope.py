"""What an AppProject permits: repositories, destinations and kinds, as Argo CD decides it."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Any

from gitops_policy.apis.kinds import is_cluster_scoped
from gitops_policy.fields import entries, field, sequence, text
from gitops_policy.model import Resource
from gitops_policy.notations.globs import matches

IN_CLUSTER = "https://kubernetes.default.svc"
_IN_CLUSTER_NAME = "in-cluster"
_SSH = re.compile(r"(?:ssh://)?[^/@\s]+@[^/:\s]+[:/].*")


def repository_key(url: str) -> str:
    """Return a repository URL in the form in which Argo CD compares it."""
    key = url.strip().lower()
    if _SSH.fullmatch(key) and not key.startswith("ssh://"):
        key = key.replace(":", "/", 1)
    # Argo CD escapes what no URL holds: alternatives in braces never match.
    escaped = key.replace("{", "%7b").replace("}", "%7d")
    return escaped.removesuffix(".git").removeprefix("ssh://")


def permits_source(project: Resource, url: str) -> bool:
    """Say whether sourceRepos accepts a repository; a `!` pattern that it hits refuses it."""
    permitted, value = False, repository_key(url)
    for pattern in map(str, sequence(project.spec, "sourceRepos")):
        denies = pattern.startswith("!")
        key = repository_key(pattern.removeprefix("!"))
        hit = (key == "*" and not denies) or matches(key, value, "/")
        if denies and hit:
            return False
        permitted = permitted or denies or hit
    return permitted


def permits_destination(project: Resource, destination: dict[str, Any], namespace: str) -> bool:
    """Say whether destinations accepts a cluster and namespace."""
    permitted = False
    server, name = text(destination, "server"), text(destination, "name")
    if server == IN_CLUSTER or name == _IN_CLUSTER_NAME:
        server, name = IN_CLUSTER, _IN_CLUSTER_NAME
    for _, item in entries(project.spec, "destinations"):
        by_server = bool(server) and _hits(text(item, "server"), server)
        by_name = bool(name) and _hits(text(item, "name"), name)
        in_namespace = _hits(text(item, "namespace"), namespace)
        if (by_server or by_name) and in_namespace:
            permitted = True
        elif _denied(item, (by_server, by_name, in_namespace)):
            return False
    return permitted


def is_comparable(project: Resource, destination: dict[str, Any]) -> bool:
    """Say whether a destination can be compared: clusters are named alike, or it is this one."""
    named = {name: text(destination, name) for name in ("server", "name")}
    if IN_CLUSTER in named.values() or _IN_CLUSTER_NAME in named.values():
        return True
    listed = [item for _, item in entries(project.spec, "destinations")]
    both = any(value and text(item, name) for item in listed for name, value in named.items())
    return both or (any(named.values()) and not listed)


def _hits(pattern: str, value: str) -> bool:
    if pattern.startswith("!"):
        return not matches(pattern[1:], value)
    return pattern == "*" or matches(pattern, value)


def _denied(item: dict[str, Any], hits: tuple[bool, bool, bool]) -> bool:
    by_server, by_name, in_namespace = hits
    denies = {key: text(item, key).startswith("!") for key in ("server", "name", "namespace")}
    if denies["name"] and not by_name:
        return True
    if denies["server"] and not by_server and in_namespace:
        return True
    return denies["namespace"] and not in_namespace and by_server


def refusal(project: Resource, destination: dict[str, Any], resource: Resource) -> str:
    """Say why a project refuses an object; empty where it permits it."""
    if is_cluster_scoped(resource.group, resource.kind):
        if _listed(sequence(project.spec, "clusterResourceBlacklist"), resource):
            return f"cluster-scoped kind {resource.group_kind} is on its blacklist"
        kinds = sequence(project.spec, "clusterResourceWhitelist")
        return "" if _listed(kinds, resource) else f"cluster-scoped kind {resource.group_kind}"
    if not permits_destination(project, destination, resource.namespace):
        return f"namespace {resource.namespace}"
    if _listed(sequence(project.spec, "namespaceResourceBlacklist"), resource):
        return f"kind {resource.group_kind} is on its blacklist"
    kinds = field(project.spec, "namespaceResourceWhitelist")
    fine = kinds is None or _listed(sequence(kinds), resource)
    return "" if fine else f"kind {resource.group_kind}"


def _listed(kinds: list[Any], resource: Resource) -> bool:
    return any(
        fnmatchcase(resource.group, text(item, "group"))
        and fnmatchcase(resource.kind, text(item, "kind"))
        and fnmatchcase(resource.name, text(item, "name") or "*")
        for item in kinds
    )
