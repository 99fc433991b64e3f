"""NetworkPolicy evaluation: may these two talk, as the API defines it for each side.

Two ends are described by `End`s: `pod_end` for a pod of the build, `pods_elsewhere` for pods that
other charts and operators run, `outside` for addresses beyond the cluster. `blocked` then says
which side's policies refuse a connection. What is not known of an end (its labels, its address,
its ports) counts in favour of the connection, so that only certain refusals are reported.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

from gitops_policy.fields import entries, mapping, sequence, text
from gitops_policy.kubernetes.network_policies import (
    DIRECTIONS,
    Network,
    inside,
    networks,
    policies_in,
    policies_on,
    types,
)
from gitops_policy.kubernetes.selectors import matches
from gitops_policy.model import Resource
from gitops_policy.pods import Pod
from gitops_policy.world import World

NAMESPACE_NAME = "kubernetes.io/metadata.name"
_PRIVATE = tuple(
    ip_network(net)
    for net in ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "100.64.0.0/10", "fd00::/8")
)


@dataclass(frozen=True, slots=True)
class Labels:
    """What is known of a set of labels.

    `complete` means that there are no others; `never` holds values a label surely does not have.
    """

    known: Mapping[str, Any] = field(default_factory=dict)
    complete: bool = True
    never: Mapping[str, Collection[str]] = field(default_factory=dict)

    def accepted(self, selector: object) -> bool | None:
        """Say whether a selector accepts them; None where that depends on what is not known."""
        if self.complete:
            return matches(selector, self.known)
        verdicts = [
            *(self._in(key, [value]) for key, value in mapping(selector, "matchLabels").items()),
            *(self._holds(term) for _, term in entries(selector, "matchExpressions")),
        ]
        if False in verdicts:
            return False
        return None if None in verdicts else True

    def _holds(self, term: Mapping[str, Any]) -> bool | None:
        key, operator = text(term, "key"), text(term, "operator")
        if operator in ("In", "NotIn"):
            found = self._in(key, sequence(term, "values"))
            return found if operator == "In" or found is None else not found
        if key not in self.known:
            return None
        return operator == "Exists"

    def _in(self, key: str, values: list[Any]) -> bool | None:
        if key in self.known:
            return self.known[key] in values
        return False if all(value in self.never.get(key, ()) for value in values) else None


UNKNOWN = Labels(complete=False)


@dataclass(frozen=True, slots=True)
class Port:
    """A declared container port."""

    name: str
    number: int
    protocol: str = "TCP"


@dataclass(frozen=True, slots=True)
class End:
    """One end of a connection.

    `namespace` is None where it is not known, and for an address `beyond` the cluster. `ports`
    are the declared ones, for policies that name a port; None where they are not known.
    """

    namespace: str | None
    labels: Labels = UNKNOWN
    namespace_labels: Labels = UNKNOWN
    ports: tuple[Port, ...] | None = None
    address: str = ""
    beyond: bool = False
    exempt: bool = False


def pod_end(pod: Pod, world: World) -> End:
    """Describe a pod of the build; one on the host's network is no subject of policies."""
    ports = tuple(
        Port(text(port, "name"), port["containerPort"], text(port, "protocol") or "TCP")
        for container in pod.containers
        for _, port in entries(container.spec, "ports")
        if isinstance(port.get("containerPort"), int)
    )
    namespace = pod.resource.namespace
    return End(
        namespace,
        Labels(pod.labels),
        namespace_labels(namespace, world),
        ports,
        exempt=pod.spec.get("hostNetwork") is True,
    )


def pods_elsewhere(
    namespace: str | None,
    labels: Mapping[str, Any] | None = None,
    world: World | None = None,
    *,
    not_in: Collection[str] = (),
) -> End:
    """Describe pods that the build does not hold; `labels` are those that are known.

    `namespace` None means some namespace, which is none of `not_in`.
    """
    if namespace is None:
        named = Labels(complete=False, never={NAMESPACE_NAME: tuple(not_in)})
    elif world is not None:
        named = namespace_labels(namespace, world)
    else:
        named = Labels({NAMESPACE_NAME: namespace}, complete=False)
    return End(namespace, Labels(labels or {}, complete=False), named)


def outside(address: str = "") -> End:
    """Describe an address beyond the cluster, any one unless it is given."""
    return End(None, address=address, beyond=True)


def namespace_labels(namespace: str, world: World) -> Labels:
    """Return the labels of a namespace; without its Namespace object only its name is known."""
    found = world.index.get("Namespace", "", namespace)
    own = {NAMESPACE_NAME: namespace}
    return Labels({**found.labels, **own}) if found else Labels(own, complete=False)


def blocked(
    world: World, source: End, destination: End, port: int | None, protocol: str = "TCP"
) -> tuple[str, ...]:
    """Return the sides whose policies refuse the connection: `Egress` of the source, `Ingress`.

    `port` is the number on the destination pod (not the Service's); None where it is not known.
    """
    sides = (("Egress", source, destination), ("Ingress", destination, source))
    return tuple(
        direction
        for direction, subject, other in sides
        if not admitted(
            _concerning(subject, world), direction, subject, other, destination, port, protocol
        )
    )


def _concerning(subject: End, world: World) -> Iterable[Resource]:
    """Return the policies that select an end, or may."""
    if subject.namespace is None:
        return ()
    if subject.labels.complete:
        return policies_on(subject.namespace, subject.labels.known, world)
    return policies_in(subject.namespace, world)


def blocked_from_all(
    world: World, sources: Iterable[End], destination: End, port: int | None, protocol: str = "TCP"
) -> tuple[str, ...]:
    """Return the sides that refuse the connection whichever of the possible sources it is."""
    verdicts = [blocked(world, source, destination, port, protocol) for source in sources]
    return () if not verdicts or () in verdicts else verdicts[0]


def admitted(
    policies: Iterable[Resource],
    direction: str,
    subject: End,
    other: End,
    destination: End,
    port: int | None,
    protocol: str = "TCP",
) -> bool:
    """Say whether the policies of one side let the connection through.

    Policies add up; a subject that none of them selects for this direction is open.
    """
    if subject.namespace is None or subject.exempt:
        return True
    isolated = False
    name, peers = DIRECTIONS[direction]
    for policy in policies:
        selected = subject.labels.accepted(mapping(policy.spec, "podSelector"))
        if selected is False or direction not in types(policy):
            continue
        isolated = isolated or selected is True
        for _, item in entries(policy.spec, name):
            if _peer_fits(sequence(item, peers), policy.namespace, other) and _port_fits(
                sequence(item, "ports"), destination, port, protocol
            ):
                return True
    return not isolated


def _peer_fits(peers: list[Any], namespace: str, other: End) -> bool:
    return not peers or any(_is_peer(peer, namespace, other) for peer in peers)


def _is_peer(peer: object, namespace: str, other: End) -> bool:
    if block := mapping(peer, "ipBlock"):
        return _in_block(block, other)
    wanted = mapping(peer)
    if other.beyond or not {"namespaceSelector", "podSelector"} & wanted.keys():
        return False
    if "namespaceSelector" in wanted:
        if other.namespace_labels.accepted(mapping(wanted, "namespaceSelector")) is False:
            return False
    elif other.namespace != namespace:
        return False
    return other.labels.accepted(mapping(wanted, "podSelector")) is not False


def _in_block(block: object, other: End) -> bool:
    net, excepted = networks(block)
    if net is None:
        return False
    if other.address:
        address = ip_address(other.address)
        return address in net and not any(address in hole for hole in excepted)
    if other.beyond:
        return True
    return any(
        net.version == private.version
        and net.overlaps(private)
        and not any(_covers(hole, net, private) for hole in excepted)
        for private in _PRIVATE
    )


def _covers(hole: Network, net: Network, private: Network) -> bool:
    return inside(private if private.prefixlen > net.prefixlen else net, hole)


def _port_fits(ports: list[Any], destination: End, port: int | None, protocol: str) -> bool:
    return not ports or any(_is_port(item, destination, port, protocol) for item in ports)


def _is_port(item: object, destination: End, port: int | None, protocol: str) -> bool:
    if (text(item, "protocol") or "TCP") != protocol:
        return False
    wanted = mapping(item).get("port")
    if wanted is None or port is None:
        return True
    if isinstance(wanted, str):
        known = destination.ports
        return known is None or Port(wanted, port, protocol) in known
    last = mapping(item).get("endPort")
    if isinstance(wanted, int) and isinstance(last, int):
        return wanted <= port <= last
    return bool(wanted == port)
