"""NetworkPolicies: closed by default, and each opening means what it says."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.selectors import matches, selected, selects
from gitops_policy.world import World

_POLICY = "networking.k8s.io/NetworkPolicy"
_DOCS = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"
_DIRECTIONS = {"Ingress": ("ingress", "from"), "Egress": ("egress", "to")}
_ANYWHERE = ("0.0.0.0/0", "::/0")


def _types(policy: Resource) -> set[str]:
    """Return the directions that a policy isolates, with the API's default."""
    given = sequence(policy.spec, "policyTypes")
    if given:
        return {str(item) for item in given}
    return {"Ingress"} | ({"Egress"} if "egress" in policy.spec else set())


def _rules(policy: Resource) -> Iterator[tuple[Path, dict[str, Any], str]]:
    """Yield each rule with its path and the name of its peer list."""
    for direction, (name, peers) in _DIRECTIONS.items():
        if direction in _types(policy):
            for i, item in entries(policy.spec, name):
                yield ("spec", name, i), item, peers


def _peers(policy: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path, item, name in _rules(policy):
        for i, peer in entries(item, name):
            yield (*path, name, i), peer


@rule(
    id="network-default-deny",
    title="A namespace denies traffic by default",
    severity="error",
    rationale="Without a default deny a new pod is open in both directions until somebody thinks.",
    references=[_DOCS + "#default-policies"],
    kinds=["Namespace"],
    known_as=["kubescape:C-0260", "kyverno:require-netpol"],
)
def network_default_deny(namespace: Resource, world: World) -> Iterator[Problem]:
    """A policy selects every pod of the namespace, isolates both directions, allows nothing."""
    if not any(pod.resource.namespace == namespace.name for pod in world.pods):
        return
    denied: set[str] = set()
    for policy in world.index.of_kind(_POLICY):
        everyone = not any(mapping(policy.spec, "podSelector").values())
        if policy.namespace == namespace.name and everyone:
            denied |= {t for t in _types(policy) if not _allowances(policy, t)}
    for direction in sorted(set(_DIRECTIONS) - denied):
        yield namespace.problem(
            ("metadata", "name"),
            f"no NetworkPolicy denies {direction.lower()} by default",
            "add one with podSelector: {} and policyTypes: [Ingress, Egress]",
        )


def _allowances(policy: Resource, direction: str) -> list[Any]:
    return sequence(policy.spec, _DIRECTIONS[direction][0]) if direction in _DIRECTIONS else []


@rule(
    id="pod-isolated",
    title="Every pod is isolated by NetworkPolicies in both directions",
    severity="error",
    rationale="A pod that no policy selects may talk to everything and be reached by everything.",
    references=[_DOCS],
    kinds=PODS,
    known_as=[
        "kube-linter:non-isolated-pod",
        "kube-score:pod-networkpolicy",
        "polaris:missingNetworkPolicy",
        "checkov:CKV2_K8S_6",
        "kubescape:C-0030",
    ],
)
def pod_isolated(pod: Pod, world: World) -> Iterator[Problem]:
    """Some policy of the namespace selects the pod, for ingress and for egress."""
    isolated = {
        direction
        for policy in world.index.of_kind(_POLICY)
        if policy.namespace == pod.resource.namespace
        and matches(mapping(policy.spec, "podSelector"), pod.labels)
        for direction in _types(policy)
    }
    for direction in sorted(set(_DIRECTIONS) - isolated):
        where = (*pod.path, "metadata", "labels")
        yield pod.resource.problem(
            where, f"no NetworkPolicy restricts its {direction.lower()}", "add a default deny"
        )


@rule(
    id="network-policy-selects-pods",
    title="A NetworkPolicy selects pods",
    severity="error",
    rationale="A policy whose selector matches nothing neither opens nor closes anything.",
    references=[_DOCS],
    kinds=[_POLICY],
    known_as=[
        "kube-linter:dangling-networkpolicy",
        "kube-score:networkpolicy-targets-pod",
        "kubescape:C-0299",
    ],
)
def network_policy_selects_pods(policy: Resource, world: World) -> Iterator[Problem]:
    """A podSelector that is not empty matches a pod template of the namespace."""
    selector = mapping(policy.spec, "podSelector")
    jobs = (pod for pod in world.pods if pod.resource.namespace == policy.namespace)
    found = selects(world, policy.namespace, selector) or any(
        matches(selector, pod.labels) for pod in jobs
    )
    if any(selector.values()) and not found:
        yield policy.problem(
            ("spec", "podSelector"),
            f"no pod template matches in namespace {policy.namespace!r}",
            "select by labels of the pod template",
        )


@rule(
    id="network-policy-not-open",
    title="A NetworkPolicy does not allow everything",
    severity="error",
    rationale="A rule without peers and ports, or to 0.0.0.0/0, undoes every other policy.",
    references=[_DOCS],
    kinds=[_POLICY],
    known_as=[
        "trivy:KUBE-0001",
        "trivy:KUBE-0002",
        "kyverno:restrict-networkpolicy-empty-podselector",
    ],
)
def network_policy_not_open(policy: Resource) -> Iterator[Problem]:
    """No rule is empty, and no peer is the whole internet or the whole cluster on all ports."""
    for path, item, name in _rules(policy):
        if not sequence(item, name) and not sequence(item, "ports"):
            yield policy.problem(path, "allows everything", f"name the peers in {name}: and ports:")
        for i, peer in entries(item, name):
            if text(peer, "ipBlock", "cidr") in _ANYWHERE:
                yield policy.problem(
                    (*path, name, i, "ipBlock", "cidr"), "any address", "name the networks"
                )
            whole = peer.get("namespaceSelector") == {} and not mapping(peer, "podSelector")
            if whole and not sequence(item, "ports"):
                yield policy.problem(
                    (*path, name, i, "namespaceSelector"),
                    "every pod of every namespace, on every port",
                    "name the namespaces, the pods or the ports",
                )


@rule(
    id="dns-egress-both-protocols",
    title="DNS is allowed over UDP and TCP",
    severity="error",
    rationale=(
        "Large answers come over TCP and small ones over UDP: with one of them names fail at times."
    ),
    references=["https://www.rfc-editor.org/rfc/rfc7766", _DOCS],
    kinds=[_POLICY],
)
def dns_egress_both_protocols(policy: Resource) -> Iterator[Problem]:
    """An egress rule that allows port 53 allows it over both protocols."""
    for path, item, name in _rules(policy):
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
    kinds=[_POLICY],
)
def network_policy_peers_joined(policy: Resource) -> Iterator[Problem]:
    """No peer with only a podSelector follows a peer with only a namespaceSelector."""
    previous: tuple[Path, set[str]] = ((), set())
    for path, peer in _peers(policy):
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
    kinds=[_POLICY],
)
def namespace_selector_label(policy: Resource, world: World) -> Iterator[Problem]:
    """A namespaceSelector does not use `name` unless a Namespace of the build carries it."""
    labelled = any("name" in n.labels for n in world.index.of_kind("Namespace"))
    for path, peer in _peers(policy):
        selector = mapping(peer, "namespaceSelector")
        expressions = [text(e, "key") for _, e in entries(selector, "matchExpressions")]
        if "name" in [*mapping(selector, "matchLabels"), *expressions] and not labelled:
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
    kinds=[_POLICY],
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
    for path, item, name in _rules(policy):
        for i, port in entries(item, "ports"):
            number = field(port, "port")
            single = number is not None and "endPort" not in port
            if name == "from" and single and declared and str(number) not in declared:
                yield policy.problem(
                    (*path, "ports", i, "port"),
                    f"no container of the selected pods has port {number!r}",
                    "write the container's port, not the Service's",
                )
