"""What Envoy shows, what Envoy Gateway says, and the status that both make."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from gateway_bridge.envoy import Shown, shown
from gateway_bridge.status import missing, status
from gateway_bridge.translate import (
    CONTROLLER,
    Endpoint,
    Pod,
    Settings,
    Translation,
    key,
    translate,
)
from gateway_bridge.verdicts import Verdicts

SETTINGS = Settings(http_port=10080, https_port=10443)
CLUSTER = "httproute/one/route/rule/0"
NOW, BEFORE = "2026-11-22T04:00:00Z", "2026-11-21T04:00:00Z"


def endpoints(*localities: tuple[int, int, str]) -> dict[str, Any]:
    """Envoy's answer for one cluster: index of the backend, weight, address."""
    found = [
        {
            "locality": {"region": f"{CLUSTER}/backend/{index}"},
            "load_balancing_weight": weight,
            "lb_endpoints": [
                {"endpoint": {"address": {"socket_address": {"address": ip, "port_value": 8080}}}}
            ],
        }
        for index, weight, ip in localities
    ]
    return {"configs": [{"endpoint_config": {"cluster_name": CLUSTER, "endpoints": found}}]}


def routes(*actions: dict[str, Any]) -> dict[str, Any]:
    hosts = [{"routes": [{"route": action} for action in actions]}]
    return {"configs": [{"route_config": {"virtual_hosts": hosts}}]}


def heartbeat(revision: str) -> dict[str, Any]:
    redirect = {"host_redirect": f"{revision}.gateway-bridge.invalid"}
    return {"route_config": {"virtual_hosts": [{"routes": [{"redirect": redirect}]}]}}


def test_weights_stand_with_the_localities_of_one_cluster() -> None:
    seen = shown(
        routes({"cluster": CLUSTER}), endpoints((0, 90, "127.1.0.1"), (1, 10, "127.1.0.2")), {}
    )
    assert seen.weights == {("one", "route", 0): {0: 90, 1: 10}}
    assert seen.endpoints["one", "route", 0, 1] == {Endpoint("127.1.0.2", 8080)}


def test_or_with_clusters_of_one_backend_each_where_another_is_invalid() -> None:
    clusters = [
        {"name": "invalid-backend-cluster", "weight": 50},
        {"name": f"{CLUSTER}/backend/1", "weight": 50},
    ]
    seen = shown(routes({"weighted_clusters": {"clusters": clusters}}), {}, {})
    assert seen.weights == {("one", "route", 0): {1: 50}}


def world(weight: int = 10) -> tuple[dict[tuple[str, str, str], Any], Translation]:
    refs = [
        {"name": "stable", "port": 80, "weight": 100 - weight},
        {"name": "canary", "port": 80, "weight": weight},
    ]
    things: list[dict[str, Any]] = [
        {
            "kind": "GatewayClass",
            "metadata": {"name": "envoy"},
            "spec": {"controllerName": CONTROLLER},
        },
        {
            "kind": "HTTPRoute",
            "metadata": {"name": "route", "namespace": "one", "generation": 7},
            "spec": {"parentRefs": [{"name": "gate"}], "rules": [{"backendRefs": refs}]},
        },
        *(
            {
                "kind": "Service",
                "metadata": {"name": name, "namespace": "one"},
                "spec": {"ports": [{"port": 80, "targetPort": 8080}], "selector": {"app": name}},
            }
            for name in ("stable", "canary")
        ),
    ]
    objects = {key(thing): {**thing, "apiVersion": "v1"} for thing in things}
    pods = [
        Pod("one", name, f"127.1.0.{number}", ready=True, labels={"app": name})
        for number, name in enumerate(("stable", "canary"), 1)
    ]
    return objects, translate(objects.values(), pods, SETTINGS)


def view(translation: Translation, *localities: tuple[int, int, str]) -> Shown:
    dump = routes({"cluster": CLUSTER})
    dump["configs"].append(heartbeat(translation.revision))
    return shown(dump, endpoints(*localities), listening(10080))


def listening(*ports: int) -> dict[str, Any]:
    statuses = [{"local_address": {"socket_address": {"port_value": port}}} for port in ports]
    return {"listener_statuses": statuses}


STABLE, CANARY = (0, 90, "127.1.0.1"), (1, 10, "127.1.0.2")


def test_nothing_is_missing_where_revision_weights_and_endpoints_are_shown() -> None:
    objects, translation = world()
    assert missing(translation, objects, view(translation, STABLE, CANARY), {}) is None


@pytest.mark.parametrize(
    ("localities", "answer"),
    [
        ((STABLE,), "weights {0: 90, 1: 10} of rule 0, Envoy has {0: 90}"),
        (((0, 50, "127.1.0.1"), (1, 50, "127.1.0.2")), "Envoy has {0: 50, 1: 50}"),
        ((STABLE, (1, 10, "127.1.0.9")), "endpoints of canary"),
    ],
)
def test_what_envoy_does_not_serve_yet_is_said(
    localities: tuple[tuple[int, int, str], ...], answer: str
) -> None:
    objects, translation = world()
    found = missing(translation, objects, view(translation, *localities), {})
    assert found
    assert "HTTPRoute one/route" in found
    assert answer in found


def test_another_revision_is_not_enough() -> None:
    objects, translation = world()
    found = missing(translation, objects, view(world(20)[1], STABLE, CANARY), {})
    assert found
    assert found.startswith(f"revision {translation.revision}, Envoy has")


def test_a_listener_that_does_not_listen_is_missing() -> None:
    objects, translation = world()
    dump = {"configs": [heartbeat(translation.revision)]}
    found = missing(translation, objects, shown(dump, {}, listening(10443)), {})
    assert found == "Gateway gateway-bridge/heartbeat: nothing listens at port 10080"


@pytest.mark.parametrize(
    "refused",
    [
        {("HTTPRoute", "one", "route"): {"parents": [{"conditions": [{"status": "False"}]}]}},
        {("Gateway", "one", "gate"): {"listeners": [{"conditions": [{"status": "False"}]}]}},
    ],
)
def test_a_route_that_is_refused_is_not_waited_for(refused: dict[Any, Any]) -> None:
    objects, translation = world()
    assert missing(translation, objects, view(translation, STABLE), refused) is None


def condition(kind: str, value: str = "True", **more: Any) -> dict[str, Any]:
    return {"type": kind, "status": value, "reason": kind, "message": "", **more}


def test_conditions_observe_the_generation_and_keep_the_time_of_their_last_change() -> None:
    thing = world()[0]["HTTPRoute", "one", "route"]
    parent = {"parentRef": {"name": "gate"}, "controllerName": CONTROLLER}
    old = [
        condition("Accepted", lastTransitionTime=BEFORE),
        condition("ResolvedRefs", "False", lastTransitionTime=BEFORE),
    ]
    live = {**thing, "status": {"parents": [{**parent, "conditions": old}]}}
    verdict = {
        "parents": [{**parent, "conditions": [condition("Accepted"), condition("ResolvedRefs")]}]
    }
    [made] = status(live, verdict, "127.40.0.1", NOW)["parents"]
    assert [c["observedGeneration"] for c in made["conditions"]] == [7, 7]
    assert [c["lastTransitionTime"] for c in made["conditions"]] == [BEFORE, NOW]
    again = status({**live, "status": {"parents": [made]}}, verdict, "127.40.0.1", "later")
    assert again == {"parents": [made]}, "a status that stays is not written again"


def test_a_gateway_without_an_address_is_programmed_as_envoy_serves_it() -> None:
    verdict = {
        "conditions": [
            condition("Accepted"),
            condition("Programmed", "False", reason="AddressNotAssigned"),
        ]
    }
    thing = {"kind": "Gateway", "metadata": {"name": "gate", "namespace": "one", "generation": 2}}
    made = status(thing, verdict, "127.40.0.1", NOW)
    assert made["addresses"] == [{"type": "IPAddress", "value": "127.40.0.1"}]
    assert [(c["type"], c["status"]) for c in made["conditions"]] == [
        ("Accepted", "True"),
        ("Programmed", "True"),
    ]


def test_a_gateway_that_is_refused_stays_so() -> None:
    verdict = {"conditions": [condition("Programmed", "False", reason="Invalid")]}
    thing = {"kind": "Gateway", "metadata": {"name": "gate", "namespace": "one"}}
    assert status(thing, verdict, "127.40.0.1", NOW)["conditions"][0]["status"] == "False"


def test_messages_name_the_service_and_not_its_backend() -> None:
    text = "Failed to process route rule 0 backendRef 1: Backend one/canary-80 not found."
    verdict = {"parents": [{"conditions": [condition("ResolvedRefs", "False", message=text)]}]}
    made = status(world()[0]["HTTPRoute", "one", "route"], verdict, "127.40.0.1", NOW)
    message = made["parents"][0]["conditions"][0]["message"]
    assert message.endswith("Service one/canary not found.")


def line(kind: str, name: str, text: str) -> str:
    message = f"Got new status for {kind}\n{text}"
    return json.dumps({"level": "info", "msg": message, "key": name}) + "\n"


def test_verdicts_are_read_as_the_log_grows_and_from_the_start_of_a_new_one(tmp_path: Path) -> None:
    log = tmp_path / "log"
    verdicts = Verdicts(log)
    assert not verdicts.read(), "no log yet"
    whole = line("HTTPRoute", "one/route", "parents: []\n")
    log.write_text(whole[:30])
    assert not verdicts.read(), "half a line"
    log.write_text(whole)
    assert verdicts.read()
    assert verdicts.statuses == {("HTTPRoute", "one", "route"): {"parents": []}}
    log.write_text(line("Gateway", "a/b", "x: 1\n"))
    assert verdicts.read()
    assert ("Gateway", "a", "b") in verdicts.statuses


def test_errors_are_passed_on_and_other_lines_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    error = json.dumps({"level": "error", "msg": "failed to get Backend", "error": "none"})
    broken = [
        "[warning] of Envoy",
        "{broken",
        "[]",
        line("X", "no-slash", "a: 1"),
        line("X", "a/b", ": ["),
    ]
    log.write_text("\n".join([*broken, error, ""]))
    verdicts = Verdicts(log)
    assert verdicts.read()
    assert verdicts.errors == ["failed to get Backend: none"]
    assert verdicts.statuses == {}
