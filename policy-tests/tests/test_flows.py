"""NetworkPolicy flows: the evaluator against a plain enumeration, and the rules of the API."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import pytest
from gitops_policy import Config
from gitops_policy.kubernetes.flows import (
    UNKNOWN,
    End,
    Labels,
    blocked,
    blocked_from_all,
    outside,
    pod_end,
    pods_elsewhere,
)
from gitops_policy.model import Document
from gitops_policy.reading.build import Build
from gitops_policy.world import World
from hypothesis import given, settings
from hypothesis import strategies as st

PODS = {("a", "web"), ("a", "db"), ("b", "web"), ("b", "db")}
PORTS = ((8080, "TCP"), (9090, "TCP"), (53, "UDP"), (53, "TCP"))
NAMES = {"http": (8080, "TCP"), "metrics": (9090, "TCP"), "dns": (53, "UDP")}
BETWEEN = ("Ingress", "Egress")

LABELS = st.sampled_from([{}, {"matchLabels": {"app": "web"}}, {"matchLabels": {"app": "no"}}])
SPACES = st.sampled_from([{}, {"matchLabels": {"kubernetes.io/metadata.name": "b"}}])
PEER = st.one_of(
    st.builds(lambda pod: {"podSelector": pod}, LABELS),
    st.builds(lambda space: {"namespaceSelector": space}, SPACES),
    st.builds(lambda space, pod: {"namespaceSelector": space, "podSelector": pod}, SPACES, LABELS),
)
PORT = st.one_of(
    st.sampled_from([{"port": 8080}, {"port": "http"}, {"port": "dns", "protocol": "UDP"}]),
    st.sampled_from([{"port": 8000, "endPort": 9000}, {"protocol": "UDP"}, {"port": 53}]),
)


def _opening(peers: str) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries(
        {},
        optional={peers: st.lists(PEER, max_size=2), "ports": st.lists(PORT, max_size=2)},
    )


POLICY = st.builds(
    lambda namespace, spec: {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": spec,
    },
    st.sampled_from("ab"),
    st.fixed_dictionaries(
        {"podSelector": LABELS},
        optional={
            "policyTypes": st.lists(st.sampled_from(BETWEEN), min_size=1, unique=True),
            "ingress": st.lists(_opening("from"), max_size=2),
            "egress": st.lists(_opening("to"), max_size=2),
        },
    ),
)


def pod(namespace: str, app: str, **spec: Any) -> dict[str, Any]:
    ports = [
        {"name": name, "containerPort": number, "protocol": protocol}
        for name, (number, protocol) in NAMES.items()
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": app, "namespace": namespace, "labels": {"app": app}},
        "spec": {"containers": [{"name": "c", "ports": ports}], **spec},
    }


def policy(spec: dict[str, Any], namespace: str = "a") -> dict[str, Any]:
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "p", "namespace": namespace},
        "spec": spec,
    }


def world(*manifests: Mapping[str, Any]) -> World:
    spaces = [{"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": n}} for n in "ab"]
    documents = [Document(dict(item)) for item in (*spaces, *manifests)]
    return World(Build(tuple(documents)), Config(), None)


def ends(found: World) -> dict[tuple[str, str], End]:
    return {(p.resource.namespace, p.resource.name): pod_end(p, found) for p in found.pods}


Tuple = tuple[tuple[str, str], tuple[str, str], int, str]


def enumerated(policies: list[dict[str, Any]]) -> set[Tuple]:
    """Write the allowed connections out: what is isolated, then what each opening adds."""
    every = {(s, d, *p) for s, d in product(PODS, PODS) for p in PORTS}
    let_out, let_in = set(every), set(every)
    for item in policies:
        chosen, spec = _chosen(item), item["spec"]
        given_types = spec.get("policyTypes")
        types = given_types or ["Ingress", *(["Egress"] if spec.get("egress") else [])]
        if "Egress" in types:
            let_out -= {t for t in every if t[0] in chosen}
        if "Ingress" in types:
            let_in -= {t for t in every if t[1] in chosen}
    for item in policies:
        chosen, spec = _chosen(item), item["spec"]
        space = item["metadata"]["namespace"]
        types = spec.get("policyTypes") or BETWEEN
        for opening in spec.get("egress", []) if "Egress" in types else []:
            peers = _peers(opening.get("to"), space)
            let_out |= {t for t in every if t[0] in chosen and t[1] in peers and _open(opening, t)}
        for opening in spec.get("ingress", []) if "Ingress" in types else []:
            peers = _peers(opening.get("from"), space)
            let_in |= {t for t in every if t[1] in chosen and t[0] in peers and _open(opening, t)}
    return let_out & let_in


def _chosen(item: dict[str, Any]) -> set[tuple[str, str]]:
    wanted = item["spec"]["podSelector"].get("matchLabels", {}).get("app")
    space = item["metadata"]["namespace"]
    return {p for p in PODS if p[0] == space and wanted in (None, p[1])}


def _peers(peers: list[dict[str, Any]] | None, space: str) -> set[tuple[str, str]]:
    if not peers:
        return PODS
    found: set[tuple[str, str]] = set()
    for peer in peers:
        app = peer.get("podSelector", {}).get("matchLabels", {}).get("app")
        labels = peer.get("namespaceSelector", {}).get("matchLabels", {})
        spaces = set(labels.values()) or {"a", "b"} if "namespaceSelector" in peer else {space}
        found |= {p for p in PODS if p[0] in spaces and app in (None, p[1])}
    return found


def _open(opening: dict[str, Any], connection: Tuple) -> bool:
    _, _, number, protocol = connection
    allowed: set[tuple[int, str]] = set()
    for item in opening.get("ports") or []:
        over = item.get("protocol", "TCP")
        if "port" not in item:
            allowed |= {p for p in PORTS if p[1] == over}
        elif isinstance(item["port"], str):
            allowed |= {NAMES[item["port"]]} & {p for p in PORTS if p[1] == over}
        else:
            last = item.get("endPort", item["port"])
            allowed |= {(n, over) for n in range(item["port"], last + 1)}
    return not opening.get("ports") or (number, protocol) in allowed


@settings(max_examples=300, deadline=None, derandomize=True)
@given(policies=st.lists(POLICY, max_size=4))
def test_a_connection_is_blocked_unless_both_sides_allow_it(policies: list[dict[str, Any]]) -> None:
    found = world(*(pod(*p) for p in sorted(PODS)), *policies)
    known = ends(found)
    allowed = {
        (s, d, *p)
        for s, d in product(PODS, PODS)
        for p in PORTS
        if not blocked(found, known[s], known[d], *p)
    }
    assert allowed == enumerated(policies)


CLOSED = policy({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})


def verdict(found: World, source: End | None = None, port: int | None = 8080) -> tuple[str, ...]:
    return blocked(found, source or outside(), ends(found)[("a", "web")], port)


def test_no_policy_means_open() -> None:
    assert verdict(world(pod("a", "web"))) == ()


def test_a_pod_on_the_hosts_network_is_no_subject_of_policies() -> None:
    assert verdict(world(pod("a", "web", hostNetwork=True), CLOSED)) == ()


@pytest.mark.parametrize(
    ("block", "address", "refused"),
    [
        ({"cidr": "10.0.0.0/8"}, "10.1.2.3", False),
        ({"cidr": "10.0.0.0/8"}, "11.1.2.3", True),
        ({"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}, "10.1.2.3", True),
        ({"cidr": "2001:db8::/32"}, "2001:db8::1", False),
        ({"cidr": "2001:db8::/32"}, "10.1.2.3", True),
        ({"cidr": "nonsense"}, "10.1.2.3", True),
        ({"cidr": "203.0.113.0/24"}, "", False),
    ],
)
def test_an_address_is_compared_with_the_block_and_its_exceptions(
    block: dict[str, Any], address: str, refused: bool
) -> None:
    opening = policy({"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]})
    found = world(pod("a", "web"), CLOSED, opening)
    assert verdict(found, outside(address)) == (("Ingress",) if refused else ())


@pytest.mark.parametrize(
    ("block", "refused"),
    [
        ({"cidr": "0.0.0.0/0"}, False),
        ({"cidr": "203.0.113.0/24"}, True),
        ({"cidr": "10.20.0.0/16"}, False),
        ({"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]}, True),
    ],
)
def test_a_pod_without_known_address_may_have_any_private_one(
    block: dict[str, Any], refused: bool
) -> None:
    opening = policy({"podSelector": {}, "ingress": [{"from": [{"ipBlock": block}]}]})
    found = world(pod("a", "web"), pod("b", "db"), CLOSED, opening)
    source = ends(found)[("b", "db")]
    assert verdict(found, source) == (("Ingress",) if refused else ())


def test_what_is_not_known_of_a_pod_counts_in_its_favour() -> None:
    selector = {"matchLabels": {"app": "prometheus"}}
    space = {"matchLabels": {"kubernetes.io/metadata.name": "monitoring", "team": "x"}}
    peer = {"namespaceSelector": space, "podSelector": selector}
    opening = policy({"podSelector": {}, "ingress": [{"from": [peer]}]})
    found = world(pod("a", "web"), CLOSED, opening)
    assert verdict(found, pods_elsewhere("monitoring", world=found)) == ()
    assert verdict(found, pods_elsewhere(None)) == ()
    assert verdict(found, pods_elsewhere("other")) == ("Ingress",)
    assert verdict(found, pods_elsewhere("monitoring", {"app": "grafana"})) == ("Ingress",)
    assert verdict(found, pods_elsewhere(None, not_in=("monitoring",))) == ("Ingress",)
    assert verdict(found, pods_elsewhere("monitoring"), port=None) == ()


def test_one_possible_source_is_enough() -> None:
    opening = policy({"podSelector": {}, "ingress": [{"from": [{"podSelector": {}}]}]})
    found = world(pod("a", "web"), opening)
    web = ends(found)[("a", "web")]
    near, far = pods_elsewhere("a"), pods_elsewhere("b")
    assert blocked_from_all(found, [far, near], web, 8080) == ()
    assert blocked_from_all(found, [far], web, 8080) == ("Ingress",)


@pytest.mark.parametrize(
    ("term", "known", "verdict"),
    [
        ({"operator": "In", "values": ["x"]}, {"k": "x"}, True),
        ({"operator": "In", "values": ["x"]}, {"k": "y"}, False),
        ({"operator": "In", "values": ["x"]}, {}, None),
        ({"operator": "NotIn", "values": ["x"]}, {"k": "x"}, False),
        ({"operator": "NotIn", "values": ["x"]}, {}, None),
        ({"operator": "Exists"}, {"k": "x"}, True),
        ({"operator": "Exists"}, {}, None),
        ({"operator": "DoesNotExist"}, {"k": "x"}, False),
        ({"operator": "DoesNotExist"}, {}, None),
    ],
)
def test_labels_that_are_partly_known_decide_where_they_can(
    term: dict[str, Any], known: dict[str, str], verdict: bool | None
) -> None:
    selector = {"matchExpressions": [{"key": "k", **term}]}
    assert Labels(known, complete=False).accepted(selector) is verdict


def test_an_empty_selector_accepts_what_is_not_known() -> None:
    assert UNKNOWN.accepted({}) is True
