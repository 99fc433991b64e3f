"""The openings of NetworkPolicies: peers, names and ports that mean what is meant."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, mapping, text
from gitops_policy.flows import POLICY
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.rules.network_policies import openings, peers
from gitops_policy.selectors import selected
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
