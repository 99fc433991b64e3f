"""The pods of Prometheus as NetworkPolicies see them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace

from gitops_policy.kubernetes.flows import End, Labels, pods_elsewhere
from gitops_policy.world import World

_SERVERS = {
    "monitoring.coreos.com/Prometheus": "prometheus",
    "monitoring.coreos.com/PrometheusAgent": "prometheus-agent",
}
_NAME, _SERVER = "app.kubernetes.io/name", "operator.prometheus.io/name"
_OWN_DOMAINS = ("app.kubernetes.io", "operator.prometheus.io")


class _Everything(Collection[str]):
    """All values that a label can have."""

    def __contains__(self, value: object) -> bool:
        return True

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1


class _Foreign(Mapping[str, Collection[str]]):
    """The labels that another domain gives to its own pods: Prometheus has none of them."""

    def __getitem__(self, label: str) -> Collection[str]:
        domain, slash, _ = label.partition("/")
        if not slash or domain in _OWN_DOMAINS:
            raise KeyError(label)
        return _Everything()

    def __iter__(self) -> Iterator[str]:
        return iter(())

    def __len__(self) -> int:
        return 1


def prometheus_ends(world: World) -> list[End]:
    """Return the pods that may scrape: those of the build's Prometheus, else of one elsewhere."""
    found = [
        pods_elsewhere(server.namespace, {_NAME: name, _SERVER: server.name}, world)
        for kind, name in _SERVERS.items()
        for server in world.index.of_kind(kind)
    ] or [pods_elsewhere(None, {_NAME: name}, world) for name in _SERVERS.values()]
    return [
        replace(end, labels=Labels(end.labels.known, complete=False, never=_Foreign()))
        for end in found
    ]
