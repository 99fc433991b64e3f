"""Who makes the Secrets and ConfigMaps that others read, and with which keys."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from gitops_policy.fields import Path, entries, mapping, text
from gitops_policy.kubernetes.secret_makers import Keys, made_by
from gitops_policy.model import Resource
from gitops_policy.pods import Pod
from gitops_policy.world import World, once

# Every namespace gets these from the cluster itself.
_FROM_THE_CLUSTER = {
    "kube-root-ca.crt": frozenset({"ca.crt"}),
    "openshift-service-ca.crt": frozenset({"service-ca.crt"}),
}


@dataclass(frozen=True, slots=True)
class Reference:
    """A pod's reference to a ConfigMap or Secret; paths count from the pod spec.

    `keys` holds the keys it reads with their paths; `optional` means the pod starts without.
    """

    kind: str
    name: str
    path: Path
    keys: tuple[tuple[Path, str], ...] = ()
    optional: bool = False


def references(pod: Pod) -> Iterator[Reference]:
    """Yield every reference to a ConfigMap or Secret in a pod spec."""
    for container in pod.containers:
        base: Path = (container.group, container.position)
        for i, source in entries(container.spec, "envFrom"):
            yield from _plain(source, "configMapRef", "ConfigMap", (*base, "envFrom", i))
            yield from _plain(source, "secretRef", "Secret", (*base, "envFrom", i))
        for i, variable in entries(container.spec, "env"):
            source = mapping(variable, "valueFrom")
            path = (*base, "env", i, "valueFrom")
            yield from _keyed(source, "configMapKeyRef", "ConfigMap", path)
            yield from _keyed(source, "secretKeyRef", "Secret", path)
    for i, volume in entries(pod.spec, "volumes"):
        yield from _volume(volume, ("volumes", i))
        for j, source in entries(volume, "projected", "sources"):
            yield from _volume(source, ("volumes", i, "projected", "sources", j))
    for i, secret in entries(pod.spec, "imagePullSecrets"):
        yield Reference("Secret", text(secret, "name"), ("imagePullSecrets", i, "name"))


def _plain(source: object, key: str, kind: str, path: Path) -> Iterator[Reference]:
    if found := mapping(source, key):
        optional = found.get("optional") is True
        yield Reference(kind, text(found, "name"), (*path, key, "name"), optional=optional)


def _keyed(source: object, key: str, kind: str, path: Path) -> Iterator[Reference]:
    if found := mapping(source, key):
        keys = (((*path, key, "key"), text(found, "key")),)
        optional = found.get("optional") is True
        yield Reference(kind, text(found, "name"), (*path, key, "name"), keys, optional)


def _volume(volume: object, path: Path) -> Iterator[Reference]:
    for field_name, kind in (("configMap", "ConfigMap"), ("secret", "Secret")):
        source = mapping(volume, field_name)
        name = "secretName" if "secretName" in source else "name"
        if text(source, name):
            base = (*path, field_name)
            keys = tuple(
                ((*base, "items", i, "key"), text(item, "key"))
                for i, item in entries(source, "items")
            )
            optional = source.get("optional") is True
            yield Reference(kind, text(source, name), (*base, name), keys, optional)


def config_map_keys(world: World, namespace: str, name: str) -> Keys | bool:
    """Return the keys of a ConfigMap, False where nobody makes it."""
    found = world.index.get("ConfigMap", namespace, name)
    if found is None:
        return _FROM_THE_CLUSTER.get(name, False)
    return frozenset(mapping(found.content, "data")) | frozenset(
        mapping(found.content, "binaryData")
    )


@once
def secret_keys(world: World) -> dict[tuple[str, str], Keys]:
    """Return every Secret that the build makes, with its keys (None where only run time knows)."""
    made: dict[tuple[str, str], Keys] = {}
    for resource in world.index.resources:
        for namespace, name, keys in made_by(resource):
            place = (namespace, name)
            known = made.get(place, frozenset())
            made[place] = None if keys is None or known is None else keys | known
    return made


@once
def secret_sources(world: World) -> dict[tuple[str, str], list[Resource]]:
    """Return the objects that make each Secret of the build."""
    sources: dict[tuple[str, str], list[Resource]] = {}
    for resource in world.index.resources:
        for namespace, name, _ in made_by(resource):
            sources.setdefault((namespace, name), []).append(resource)
    return sources
