"""What the bridge makes of Gateway API objects, as a function of objects and pods."""

from __future__ import annotations

from typing import Any

from gateway_bridge.pods import pods_of
from gateway_bridge.translate import CONTROLLER, Pod, Settings, translate
from hypothesis import given
from hypothesis import strategies as st

SETTINGS = Settings(http_port=10080, https_port=10443)
CLASS = {
    "apiVersion": "gateway.networking.k8s.io/v1",
    "kind": "GatewayClass",
    "metadata": {"name": "envoy"},
    "spec": {"controllerName": CONTROLLER},
}
NAMES = st.sampled_from(["stable", "canary", "other"])
WEIGHTS = st.lists(st.tuples(NAMES, st.integers(0, 1000)), min_size=1, max_size=4)


def thing(kind: str, name: str, spec: dict[str, Any], namespace: str = "one") -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": kind, "metadata": metadata, "spec": spec}


def service(name: str, namespace: str = "one", **more: str) -> dict[str, Any]:
    ports = [{"port": 80, "targetPort": "http"}]
    return thing("Service", name, {"ports": ports, "selector": {"app": "x", **more}}, namespace)


def route(*refs: tuple[str, int], namespace: str = "one", **rule: Any) -> dict[str, Any]:
    backends = [{"name": name, "port": 80, "weight": weight} for name, weight in refs]
    return thing("HTTPRoute", "route", {"rules": [{"backendRefs": backends, **rule}]}, namespace)


def pod(name: str, address: str, namespace: str = "one", *, ready: bool = True, **more: str) -> Pod:
    return Pod(namespace, name, address, ready, {"app": "x", **more}, {"http": 8080})


def documents(objects: list[dict[str, Any]], pods: list[Pod]) -> dict[tuple[str, ...], Any]:
    made = translate([CLASS, *objects], pods, SETTINGS).documents
    return {(d["kind"], d["metadata"].get("namespace", ""), d["metadata"]["name"]): d for d in made}


def addresses(objects: list[dict[str, Any]], pods: list[Pod], name: str = "stable") -> list[str]:
    backend = documents(objects, pods)["Backend", "one", f"{name}-80"]
    return [entry["ip"]["address"] for entry in backend["spec"]["endpoints"]]


@given(WEIGHTS)
def test_weights_and_their_order_are_kept(refs: list[tuple[str, int]]) -> None:
    made = documents([route(*refs)], [])["HTTPRoute", "one", "route"]["spec"]["rules"][0]
    wanted = [(f"{name}-80", "Backend", weight) for name, weight in refs]
    found = [(ref["name"], ref["kind"], ref["weight"]) for ref in made["backendRefs"]]
    assert found == wanted


@given(st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), max_size=6))
def test_only_ready_pods_of_the_selector_and_namespace_get_requests(
    pods: list[tuple[bool, bool, bool]],
) -> None:
    made = [
        pod(
            f"p{number}",
            f"127.1.0.{number}",
            "one" if here else "two",
            ready=ready,
            hash="a" if chosen else "b",
        )
        for number, (ready, chosen, here) in enumerate(pods)
    ]
    wanted = [f"127.1.0.{number}" for number, state in enumerate(pods) if all(state)]
    found = addresses([route(("stable", 1)), service("stable", hash="a")], made)
    assert [address for address in found if address.startswith("127.1.")] == wanted
    assert found, "Envoy Gateway answers 500 where a Backend has no endpoint"


def test_services_without_ready_pods_point_at_addresses_of_their_own() -> None:
    objects = [route(("stable", 1), ("canary", 1)), service("stable"), service("canary")]
    stable, canary = addresses(objects, []), addresses(objects, [], "canary")
    assert stable != canary
    assert {address.split(".")[1] for address in stable + canary} == {"254"}


def test_a_missing_service_has_no_backend() -> None:
    made = documents([route(("stable", 1)), thing("Service", "stable", {"ports": []})], [])
    assert not [identity for identity in made if identity[0] == "Backend"]


def test_equal_names_in_two_namespaces_stay_apart() -> None:
    objects = [
        part
        for namespace in ("one", "two")
        for part in (route(("stable", 1), namespace=namespace), service("stable", namespace))
    ]
    made = documents(objects, [pod("p", "127.1.0.1"), pod("p", "127.2.0.1", "two")])
    for namespace, address in (("one", "127.1.0.1"), ("two", "127.2.0.1")):
        [endpoint] = made["Backend", namespace, "stable-80"]["spec"]["endpoints"]
        assert endpoint == {"ip": {"address": address, "port": 8080}}


def test_matches_and_filters_are_kept_and_redirects_name_the_port_of_their_scheme() -> None:
    matches = [{"headers": [{"name": "x-canary", "value": "yes"}]}]
    redirect = {"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}
    other = {"type": "ResponseHeaderModifier", "responseHeaderModifier": {"set": []}}
    made = documents([route(("a", 1), matches=matches, filters=[redirect, other])], [])
    rule = made["HTTPRoute", "one", "route"]["spec"]["rules"][0]
    assert rule["matches"] == matches
    assert rule["filters"][0]["requestRedirect"] == {"scheme": "https", "port": 10443}
    assert rule["filters"][1] == other


def gateway(class_name: str = "envoy") -> dict[str, Any]:
    reference = {"certificateRefs": [{"name": "tls"}]}
    listeners = [
        {"name": "http", "port": 80, "hostname": "a.example"},
        {"name": "https", "port": 443, "hostname": "a.example", "tls": reference},
        {"name": "other", "port": 9000},
    ]
    return thing("Gateway", "gate", {"gatewayClassName": class_name, "listeners": listeners})


def secret(**data: str) -> dict[str, Any]:
    metadata = {"name": "tls", "namespace": "one"}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}


def test_listeners_keep_their_hostname_and_get_the_ports_of_the_cluster() -> None:
    made = documents([gateway()], [])["Gateway", "one", "gate"]["spec"]["listeners"]
    assert [listener["port"] for listener in made] == [10080, 10443, 9000]
    assert made[0]["hostname"] == "a.example"


def test_gateways_of_other_classes_and_secrets_that_nobody_names_are_left_out() -> None:
    made = documents([gateway("istio"), secret(key="a")], [])
    assert not [identity for identity in made if identity[1] == "one"]


def test_a_key_that_leaves_a_secret_gives_the_document_another_name() -> None:
    both = documents([gateway(), secret(one="a", two="b")], [])
    one = documents([gateway(), secret(one="a")], [])
    names = [
        next(identity[2] for identity in made if identity[0] == "Secret") for made in (both, one)
    ]
    assert names[0] != names[1]
    for made, name in zip((both, one), names, strict=True):
        listener = made["Gateway", "one", "gate"]["spec"]["listeners"][1]
        assert listener["tls"]["certificateRefs"][0]["name"] == name


def test_a_missing_secret_keeps_its_name_so_that_the_verdict_names_it() -> None:
    listener = documents([gateway()], [])["Gateway", "one", "gate"]["spec"]["listeners"][1]
    assert listener["tls"]["certificateRefs"] == [{"name": "tls"}]


def test_without_the_class_only_the_platform_is_there() -> None:
    made = translate([gateway()], [], SETTINGS)
    assert {document["metadata"].get("namespace", "gateway-bridge") for document in made.documents}
    assert {document["kind"] for document in made.documents} == {
        "EnvoyProxy",
        "GatewayClass",
        "Gateway",
        "HTTPRoute",
        "Namespace",
    }


@given(WEIGHTS, WEIGHTS)
def test_the_revision_changes_with_the_documents_and_only_then(
    one: list[tuple[str, int]], two: list[tuple[str, int]]
) -> None:
    revisions = [translate([CLASS, route(*refs)], [], SETTINGS).revision for refs in (one, two)]
    assert (revisions[0] == revisions[1]) == (one == two)


def test_the_input_is_not_changed() -> None:
    objects = [gateway(), secret(key="a"), route(("stable", 1)), service("stable")]
    before = repr(objects)
    documents(objects, [])
    assert repr(objects) == before


def test_entries_that_are_no_pods_are_passed_over() -> None:
    good = {"namespace": "one", "name": "p", "address": "127.1.0.1", "ready": True, "labels": None}
    assert [found.name for found in pods_of([good, {"name": "q"}, {}])] == ["p"]
