"""NetworkPolicies as written: whom they select, which directions, openings and networks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any

from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.kubernetes.selectors import Selecting
from gitops_policy.model import Resource
from gitops_policy.pods import Pod
from gitops_policy.world import World, once

POLICY = "networking.k8s.io/NetworkPolicy"
DIRECTIONS = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}
Network = IPv4Network | IPv6Network


def types(policy: Resource) -> set[str]:
    """Return the directions that a policy isolates, with the API's default."""
    given = sequence(policy.spec, "policyTypes")
    if given:
        return {str(item) for item in given}
    return {"Ingress"} | ({"Egress"} if sequence(policy.spec, "egress") else set())


@once
def _policies(world: World) -> tuple[Selecting, dict[str, list[Resource]]]:
    found = world.index.of_kind(POLICY)
    spaces: dict[str, list[Resource]] = {}
    for policy in found:
        spaces.setdefault(policy.namespace, []).append(policy)
    return Selecting(found, lambda policy: mapping(policy.spec, "podSelector")), spaces


def policies_of(pod: Pod, world: World) -> Iterator[Resource]:
    """Yield the NetworkPolicies that select a pod."""
    return policies_on(pod.resource.namespace, pod.labels, world)


def policies_on(namespace: str, labels: Mapping[str, Any], world: World) -> Iterator[Resource]:
    """Yield the NetworkPolicies of a namespace that select pods with these labels."""
    return _policies(world)[0].of(namespace, labels)


def policies_in(namespace: str, world: World) -> list[Resource]:
    """Return the NetworkPolicies of a namespace."""
    return _policies(world)[1].get(namespace, [])


def networks(block: object) -> tuple[Network | None, list[Network]]:
    """Return the network of an ipBlock, None where it is none, and its exceptions."""
    excepted = (network(item) for item in sequence(block, "except"))
    return network(text(block, "cidr")), [net for net in excepted if net]


def network(value: object) -> Network | None:
    """Read a CIDR; None where it is none."""
    try:
        return ip_network(value, strict=False) if isinstance(value, str) else None
    except ValueError:
        return None


def inside(net: Network, other: Network) -> bool:
    """Say whether a network lies within another."""
    return net.network_address in other and net.prefixlen >= other.prefixlen


def openings(policy: Resource) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """Yield each rule with its path and the name of its peer list."""
    for direction, (name, listed) in DIRECTIONS.items():
        if direction in types(policy):
            for i, item in entries(policy.spec, name):
                yield ("spec", name, i), item, listed


def peers(policy: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each peer of each rule with its path."""
    for path, item, name in openings(policy):
        for i, peer in entries(item, name):
            yield (*path, name, i), peer
