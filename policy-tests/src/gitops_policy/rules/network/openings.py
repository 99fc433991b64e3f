"""The openings of NetworkPolicies: peers, names and ports that mean what is meant."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.kubernetes.network_policies import POLICY, inside, network, openings, peers
from gitops_policy.kubernetes.selectors import selected
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World, once

_DOCS = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"


@rule(
    id="dns-egress-both-protocols",
    title="DNS is allowed over UDP and TCP",
    severity="error",
    rationale=(
        "Large answers come over TCP and small ones over UDP: with one of them names fail at times."
    ),
    references=["https://www.rfc-editor.org/rfc/rfc7766", _DOCS],
    kinds=[POLICY],
)
def dns_egress_both_protocols(policy: Resource) -> Iterator[Problem]:
    """An egress rule that allows port 53 allows it over both protocols."""
    for path, item, name in openings(policy):
        ports = [port for _, port in entries(item, "ports") if port.get("port") == 53]
        protocols = {text(port, "protocol") or "TCP" for port in ports}
        if name == "to" and protocols and not {"TCP", "UDP"} <= protocols:
            missing = ", ".join(sorted({"TCP", "UDP"} - protocols))
            yield policy.problem(
                (*path, "ports"), f"port 53 is not allowed over {missing}", f"add 53/{missing}"
            )


@rule(
    id="network-policy-peers-joined",
    title="A namespace and a pod selector that belong together are one peer",
    severity="error",
    rationale="As two peers they mean OR: every pod of that namespace, and such pods of this one.",
    references=[_DOCS + "#behavior-of-to-and-from-selectors"],
    kinds=[POLICY],
)
def network_policy_peers_joined(policy: Resource) -> Iterator[Problem]:
    """No peer with only a podSelector follows a peer with only a namespaceSelector."""
    previous: tuple[Path, set[str]] = ((), set())
    for path, peer in peers(policy):
        keys = set(peer)
        pair = {"namespaceSelector", "podSelector"}
        if previous[0][:-1] == path[:-1] and len(keys) == 1 and keys ^ previous[1] == pair:
            yield policy.problem(
                path,
                "a namespaceSelector and a podSelector as two peers mean OR",
                "join them into one peer (AND), or write two rules if OR is meant",
            )
        previous = (path, keys)


@rule(
    id="namespace-selector-label",
    title="Namespaces are selected by kubernetes.io/metadata.name",
    severity="error",
    rationale="No namespace has a label `name` by itself; such a selector matches nothing.",
    references=[_DOCS + "#targeting-a-namespace-by-its-name"],
    kinds=[POLICY],
)
def namespace_selector_label(policy: Resource, world: World) -> Iterator[Problem]:
    """A namespaceSelector does not use `name` unless a Namespace of the build carries it."""
    for path, peer in peers(policy):
        selector = mapping(peer, "namespaceSelector")
        expressions = [text(e, "key") for _, e in entries(selector, "matchExpressions")]
        if "name" in [*mapping(selector, "matchLabels"), *expressions] and not _labelled(world):
            yield policy.problem(
                (*path, "namespaceSelector"),
                "it selects by a label `name`, which namespaces do not have",
                "use kubernetes.io/metadata.name",
            )


@rule(
    id="network-policy-port-exists",
    title="An ingress rule opens a port that the pods have",
    severity="warning",
    rationale=(
        "Policies see the container's port, not the Service's: 80 instead of 8080 is a closed door."
    ),
    references=[_DOCS],
    kinds=[POLICY],
)
def network_policy_port_exists(policy: Resource, world: World) -> Iterator[Problem]:
    """Each ingress port is a declared container port, by number or name, of a selected pod."""
    selector = mapping(policy.spec, "podSelector")
    declared = {
        str(value)
        for pod in selected(world, policy.namespace, selector)
        for container in pod.containers
        for _, port in entries(container.spec, "ports")
        for value in (port.get("containerPort"), port.get("name"))
    }
    for path, item, name in openings(policy):
        for i, port in entries(item, "ports"):
            number = field(port, "port")
            single = number is not None and "endPort" not in port
            if name == "from" and single and declared and str(number) not in declared:
                yield policy.problem(
                    (*path, "ports", i, "port"),
                    f"no container of the selected pods has port {number!r}",
                    "write the container's port, not the Service's",
                )


@once
def _labelled(world: World) -> bool:
    return any("name" in namespace.labels for namespace in world.index.of_kind("Namespace"))


@rule(
    id="network-policy-names-peers",
    title="An opening of a NetworkPolicy names its peers",
    severity="warning",
    rationale="A rule with ports alone lets everybody in, or everything out, on these ports.",
    references=[_DOCS],
    kinds=[POLICY],
)
def network_policy_names_peers(policy: Resource) -> Iterator[Problem]:
    """A rule that names ports has peers too."""
    for path, item, name in openings(policy):
        if sequence(item, "ports") and not sequence(item, name):
            yield policy.problem(
                (*path, name),
                "no peers: these ports are open for everybody",
                f"name the peers in {name}:",
            )


@rule(
    id="network-policy-names-ports",
    title="An opening to others names its ports",
    severity="warning",
    rationale="Without ports every port is open, also those of tomorrow's sidecars.",
    references=[_DOCS],
    kinds=[POLICY],
)
def network_policy_names_ports(policy: Resource) -> Iterator[Problem]:
    """A rule for other namespaces or addresses has ports; pods of one namespace may be trusted."""
    for path, item, name in openings(policy):
        beyond = [peer for _, peer in entries(item, name) if set(peer) != {"podSelector"}]
        if beyond and not sequence(item, "ports") and not any(map(_everybody, beyond)):
            yield policy.problem(
                (*path, "ports"), "no ports: every port is open for these peers", "name the ports"
            )


def _everybody(peer: dict[str, Any]) -> bool:
    """Say whether a peer is every pod of every namespace."""
    return peer.get("namespaceSelector") == {} and not mapping(peer, "podSelector")


@rule(
    id="network-policy-names-namespaces",
    title="A peer of a NetworkPolicy is in known namespaces",
    severity="warning",
    rationale="Whoever may start a pod in any namespace can give it the labels that are let in.",
    references=[_DOCS + "#behavior-of-to-and-from-selectors"],
    kinds=[POLICY],
)
def network_policy_names_namespaces(policy: Resource) -> Iterator[Problem]:
    """No namespaceSelector is empty, but for DNS; on all ports it is network-policy-not-open's."""
    for path, item, name in openings(policy):
        ports = entries(item, "ports")
        if ports and all(port.get("port") in (53, 5353) for _, port in ports):
            continue
        for i, peer in entries(item, name):
            open_wide = _everybody(peer) and not ports
            if peer.get("namespaceSelector") == {} and not open_wide:
                yield policy.problem(
                    (*path, name, i, "namespaceSelector"),
                    "pods of every namespace with these labels",
                    "name the namespaces",
                )


@rule(
    id="network-policy-block-valid",
    title="The addresses of a NetworkPolicy are networks",
    severity="error",
    rationale="The API server refuses any other, and an exception outside of its block.",
    references=[_DOCS + "#networkpolicy-resource"],
    kinds=[POLICY],
)
def network_policy_block_valid(policy: Resource) -> Iterator[Problem]:
    """`cidr` is a network, and each `except` a smaller one inside."""
    for path, peer in peers(policy):
        block = mapping(peer, "ipBlock")
        if "ipBlock" not in peer:
            continue
        net = network(block.get("cidr"))
        if net is None:
            yield policy.problem(
                (*path, "ipBlock", "cidr"), f"{block.get('cidr')!r} is no network", "write a CIDR"
            )
        for i, written in enumerate(sequence(block, "except")):
            hole = network(written)
            if net and (hole is None or hole == net or not inside(hole, net)):
                yield policy.problem(
                    (*path, "ipBlock", "except", i),
                    f"{written!r} is no network inside {net}",
                    "write a smaller network of the block",
                )
