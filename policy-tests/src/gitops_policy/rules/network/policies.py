"""NetworkPolicies: closed by default, and each opening means what it says."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import IPv4Network, IPv6Network

from gitops_policy.fields import entries, mapping, sequence, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.flows import NAMESPACE_NAME, namespace_labels
from gitops_policy.kubernetes.network_policies import (
    POLICY,
    Network,
    inside,
    networks,
    openings,
    peers,
)
from gitops_policy.kubernetes.selectors import pods_in, selects
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_DOCS = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"
_EVERYWHERE = ((IPv4Network, IPv4Network("0.0.0.0/0")), (IPv6Network, IPv6Network("::/0")))


@rule(
    id="network-policy-selects-pods",
    title="A NetworkPolicy selects pods",
    severity="error",
    rationale="A policy whose selector matches nothing neither opens nor closes anything.",
    references=[_DOCS],
    kinds=[POLICY],
    known_as=[
        "kube-linter:dangling-networkpolicy",
        "kube-score:networkpolicy-targets-pod",
        "kubescape:C-0299",
    ],
    needs_whole=True,
)
def network_policy_selects_pods(policy: Resource, world: World) -> Iterator[Problem]:
    """A podSelector that is not empty matches a pod template of the namespace."""
    selector = mapping(policy.spec, "podSelector")
    if any(selector.values()) and not _finds(world, policy.namespace, selector):
        yield policy.problem(
            ("spec", "podSelector"),
            f"no pod template matches in namespace {policy.namespace!r}",
            "select by labels of the pod template",
        )


def _finds(world: World, namespace: str, selector: object) -> bool:
    """Say whether a selector finds a pod, those of analysis jobs and operators included."""
    return bool(pods_in(world, namespace, selector)) or selects(world, namespace, selector)


@rule(
    id="network-policy-peer-selects-pods",
    title="The pods that a NetworkPolicy opens for exist",
    severity="warning",
    rationale="A peer that matches no pod is an opening that somebody believes in.",
    references=[_DOCS + "#behavior-of-to-and-from-selectors"],
    kinds=[POLICY],
    known_as=["kube-linter:dangling-networkpolicypeer-podselector"],
    needs_whole=True,
)
def network_policy_peer_selects_pods(policy: Resource, world: World) -> Iterator[Problem]:
    """Each podSelector matches a pod of the namespaces it means, as far as the build holds them."""
    for path, peer in peers(policy):
        selector = mapping(peer, "podSelector")
        if not any(selector.values()):
            continue
        namespaces = [policy.namespace]
        if "namespaceSelector" in peer:
            namespaces = _chosen(mapping(peer, "namespaceSelector"), world)
        if namespaces and not any(_finds(world, name, selector) for name in namespaces):
            yield policy.problem(
                (*path, "podSelector"),
                f"no pod template matches in namespace {', '.join(map(repr, namespaces))}",
                "select by labels of the peers' pod template",
            )


def _chosen(selector: object, world: World) -> list[str]:
    """Return the namespace that a selector names, if the build holds pods of it."""
    name = text(selector, "matchLabels", NAMESPACE_NAME)
    held = pods_in(world, name) and namespace_labels(name, world).accepted(selector)
    return [name] if held else []


@rule(
    id="network-policy-uses-selectors",
    title="A NetworkPolicy names pods or namespaces",
    severity="info",
    rationale="Addresses of pods change; labels do not.",
    references=[_DOCS],
    kinds=[POLICY],
    known_as=["trivy:KSV-0038"],
)
def network_policy_uses_selectors(policy: Resource) -> Iterator[Problem]:
    """There is a podSelector, or a peer with one or with a namespaceSelector."""
    kinds = {"podSelector", "namespaceSelector"}
    if "podSelector" not in policy.spec and not any(kinds & p.keys() for _, p in peers(policy)):
        yield policy.problem(
            ("spec", "podSelector"), "it selects nothing by label", "add a podSelector"
        )


@rule(
    id="network-policy-not-open",
    title="A NetworkPolicy does not allow everything",
    severity="error",
    rationale="A rule without peers and ports, or to 0.0.0.0/0, undoes every other policy.",
    references=[_DOCS],
    kinds=[POLICY],
    known_as=["trivy:KUBE-0001", "trivy:KUBE-0002"],
)
def network_policy_not_open(policy: Resource) -> Iterator[Problem]:
    """No rule is empty, and no peer is the whole internet or the whole cluster on all ports."""
    for path, item, name in openings(policy):
        ports = sequence(item, "ports")
        if not sequence(item, name) and not ports:
            yield policy.problem(path, "allows everything", f"name the peers in {name}: and ports:")
        for i, holes in _whole_internet(item, name):
            yield policy.problem(
                (*path, name, i, "ipBlock", "cidr"),
                "any address",
                "name the networks",
                severity=Severity.warning if name == "to" and ports and holes else None,
            )
        for i, peer in entries(item, name):
            whole = peer.get("namespaceSelector") == {} and not mapping(peer, "podSelector")
            if whole and not ports:
                yield policy.problem(
                    (*path, name, i, "namespaceSelector"),
                    "every pod of every namespace, on every port",
                    "name the namespaces, the pods or the ports",
                )


def _whole_internet(item: object, name: str) -> Iterator[tuple[int, bool]]:
    """Yield the peers whose networks are everything, alone or together; and if there are holes."""
    found = [(i, *networks(mapping(peer, "ipBlock"))) for i, peer in entries(item, name)]
    for family, everywhere in _EVERYWHERE:
        blocks = [(i, net, holes) for i, net, holes in found if isinstance(net, family)]
        alone = [(i, bool(holes)) for i, net, holes in blocks if net == everywhere]
        yield from alone
        whole = {net for _, net, holes in blocks if not holes}
        if not alone and _size(whole) == everywhere.num_addresses:
            yield blocks[0][0], False


def _size(parts: set[Network]) -> int:
    """Count the addresses of networks; one inside another counts once."""
    outer = [net for net in parts if not any(net != o and inside(net, o) for o in parts)]
    return sum(net.num_addresses for net in outer)


@rule(
    id="network-policy-opens-for-named-pods",
    title="A NetworkPolicy that opens something names its pods",
    severity="info",
    rationale="With an empty podSelector every pod of the namespace gets the opening.",
    references=[_DOCS + "#default-policies"],
    kinds=[POLICY],
    known_as=["kyverno:restrict-networkpolicy-empty-podselector"],
    default=False,
)
def network_policy_opens_for_named_pods(policy: Resource) -> Iterator[Problem]:
    """An empty podSelector stands only in policies without rules."""
    everyone = not any(mapping(policy.spec, "podSelector").values())
    if everyone and any(openings(policy)):
        yield policy.problem(
            ("spec", "podSelector"), "it opens for every pod", "select the pods that need it"
        )
