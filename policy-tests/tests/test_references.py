"""From labels, names and hosts to what they mean: selection, certificates, addresses, ranges."""

from __future__ import annotations

from typing import Any

import pytest
from gitops_policy import Config
from gitops_policy.fields import mapping
from gitops_policy.kubernetes.certificates import covers
from gitops_policy.kubernetes.demand import container_range
from gitops_policy.kubernetes.endpoints import addresses, behind
from gitops_policy.kubernetes.gateway_routes import hosts_meet
from gitops_policy.kubernetes.selectors import Selecting, matches, pods_in, selects
from gitops_policy.model import Document
from gitops_policy.reading.build import Build
from gitops_policy.world import World
from hypothesis import given, settings
from hypothesis import strategies as st

LABELS = st.dictionaries(st.sampled_from("ab"), st.sampled_from("xy"))
TERM = st.fixed_dictionaries(
    {
        "key": st.sampled_from("ab"),
        "operator": st.sampled_from(["In", "NotIn", "Exists", "DoesNotExist"]),
        "values": st.lists(st.sampled_from("xy"), min_size=1),
    }
)
SELECTOR = st.fixed_dictionaries(
    {}, optional={"matchLabels": LABELS, "matchExpressions": st.lists(TERM, max_size=2)}
)


def world(*manifests: dict[str, Any]) -> World:
    return World(Build(tuple(map(Document, manifests)), namespace="a"), Config(), None)


def pod(name: str, namespace: str, labels: dict[str, str], **spec: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": labels}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def service(name: str, selector: dict[str, str] | None, **port: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": "a"}
    spec = {"selector": selector, "ports": [port]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": spec}


@settings(deadline=None)
@given(labels=st.lists(st.tuples(st.sampled_from("ab"), LABELS), max_size=6), selector=SELECTOR)
def test_the_index_of_pods_finds_what_a_walk_over_all_finds(
    labels: list[tuple[str, dict[str, str]]], selector: dict[str, Any]
) -> None:
    found = world(*(pod(str(i), space, own) for i, (space, own) in enumerate(labels)))
    expected = [
        p for p in found.pods if p.resource.namespace == "a" and matches(selector, p.labels)
    ]
    assert pods_in(found, "a", selector) == expected


@settings(deadline=None)
@given(selectors=st.lists(SELECTOR, max_size=6), labels=LABELS)
def test_the_index_of_selectors_finds_what_a_walk_over_all_finds(
    selectors: list[dict[str, Any]], labels: dict[str, str]
) -> None:
    manifests = [
        {"apiVersion": "v1", "kind": "X", "metadata": {"name": str(i)}, "spec": selector}
        for i, selector in enumerate(selectors)
    ]
    resources = world(*manifests).index.resources
    found = Selecting(resources, lambda r: mapping(r.spec)).of("a", labels)
    expected = {r.name for r in resources if matches(r.spec, labels)}
    assert sorted(r.name for r in found) == sorted(expected)


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ({"matchLabels": {"cnpg.io/cluster": "db"}}, True),
        ({"matchLabels": {"cnpg.io/cluster": "db", "cnpg.io/instanceRole": "primary"}}, True),
        ({"matchExpressions": [{"key": "cnpg.io/cluster", "operator": "Exists"}]}, True),
        ({"matchLabels": {"cnpg.io/cluster": "other", "cnpg.io/podRole": "instance"}}, False),
        ({"matchLabels": {"app": "db"}}, False),
        ({"matchExpressions": [{"key": "cnpg.io/cluster", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_pods_of_an_operator_are_known_by_the_labels_it_sets(
    selector: dict[str, Any], found: bool
) -> None:
    metadata = {"name": "db", "namespace": "a"}
    database = {"apiVersion": "postgresql.cnpg.io/v1", "kind": "Cluster", "metadata": metadata}
    assert selects(world(database), "a", selector) is found


@pytest.mark.parametrize(
    ("name", "host", "covered"),
    [
        ("a.example.com", "A.example.com", True),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "*.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.b.example.com", False),
        ("a.example.com", "*.example.com", False),
    ],
)
def test_a_wildcard_certificate_is_good_for_one_label(name: str, host: str, covered: bool) -> None:
    assert covers(name, host) is covered


@pytest.mark.parametrize(
    ("listener", "host", "meet"),
    [
        ("a.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com", True),
        ("a.example.com", "*.example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.example.org", False),
    ],
)
def test_a_wildcard_listener_meets_every_name_below(listener: str, host: str, meet: bool) -> None:
    assert hosts_meet(listener, host) is meet


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("http://web:8080/v1", [("web", 8080)]),
        ("postgresql://u:p@db-rw.data.svc/app?sslmode=require", [("db-rw.data.svc", 5432)]),
        ("redis://cache,redis://other:1", [("cache", 6379), ("other", 1)]),
        (
            "--traces=grpc://collector.obs.svc.cluster.local:4317",
            [("collector.obs.svc.cluster.local", 4317)],
        ),
        ("kafka.queue.svc:9092", [("kafka.queue.svc", 9092)]),
        ("file:///etc/passwd", []),
        ("0.0.0.0", []),
        ("text http:// text", []),
    ],
)
def test_addresses_are_read_from_what_a_container_is_told(
    value: str, found: list[tuple[str, int]]
) -> None:
    subject = world(pod("p", "a", {}, containers=[{"name": "c", "args": [value]}]))
    told = addresses(subject.containers[0], subject)
    assert [(address.host, address.port) for address in told] == found


def test_a_service_leads_to_the_port_of_each_pod() -> None:
    ports = {"one": 8080, "two": 9090}
    pods = [
        pod(
            name,
            "a",
            {"app": "web"},
            containers=[{"ports": [{"name": "http", "containerPort": n}]}],
        )
        for name, n in ports.items()
    ]
    found = world(*pods, service("web", {"app": "web"}, port=80, targetPort="http"))
    assert [(r.name, r.port) for r in behind(found, "a", "web", 80)] == [
        ("Pod 'one'", 8080),
        ("Pod 'two'", 9090),
    ]
    assert behind(found, "a", "web", 81) == []
    assert behind(found, "a", "web.example.com", 80) == []
    [elsewhere] = behind(found, "a", "web.other.svc", 80)
    assert not elsewhere.exact
    assert elsewhere.end.namespace == "other"


def test_limit_ranges_fill_in_their_defaults_as_the_api_does() -> None:
    def limits(name: str, **item: Any) -> dict[str, Any]:
        metadata = {"name": name, "namespace": "a"}
        spec = {"limits": [{"type": "Container", **item}]}
        return {"apiVersion": "v1", "kind": "LimitRange", "metadata": metadata, "spec": spec}

    found = container_range(
        world(
            limits("one", max={"cpu": "2"}, min={"memory": "64Mi"}),
            limits("two", max={"cpu": "1"}, defaultRequest={"cpu": "100m", "memory": "1Gi"}),
        ),
        "a",
    )
    assert found["max"] == {"cpu": "1"}
    assert found["default"] == {"cpu": "2"}
    assert found["defaultRequest"] == {"cpu": "2", "memory": "64Mi"}
