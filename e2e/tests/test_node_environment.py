"""The environment of a container is what a kubelet would make of the pod's spec."""

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from node_runner.environment import (
    MissingReferenceError,
    PodFacts,
    UnsupportedError,
    container_environment,
    expand,
    quantity,
)

CONTAINER: dict[str, Any] = {
    "name": "server",
    "image": "server",
    "resources": {"limits": {"cpu": "1500m"}, "requests": {"memory": "2Gi"}},
}
FACTS = PodFacts(
    {
        "metadata": {
            "name": "inference-1",
            "namespace": "staging",
            "uid": "u",
            "labels": {"app": "inference", "tier": 'a"b'},
        },
        "spec": {"nodeName": "gpu-a1", "containers": [CONTAINER]},
    },
    address="127.40.1.2",
    host_address="127.40.0.1",
    node_allocatable={"memory": "64Gi"},
)
DATA: dict[tuple[str, str], Mapping[str, bytes]] = {
    ("ConfigMap", "release"): {"MODEL": b"cancer", "VERSION": b"1"},
    ("Secret", "keys"): {"TOKEN": b"s3cret"},
}
NAMES = st.from_regex(r"[A-Z_][A-Z0-9_]{0,5}", fullmatch=True)


def environment(**container: object) -> dict[str, str]:
    return container_environment(
        {**CONTAINER, **container}, FACTS, lambda kind, name: DATA.get((kind, name)), {"BASE": "b"}
    )


def variable(source: object) -> str:
    return environment(env=[{"name": "X", "valueFrom": source}])["X"]


def test_env_wins_over_env_from_and_env_from_over_the_image() -> None:
    sources = [{"configMapRef": {"name": "release"}}, {"secretRef": {"name": "keys"}}]
    found = environment(envFrom=sources, env=[{"name": "VERSION", "value": "2"}, {"name": "BASE"}])
    assert found == {"BASE": "", "MODEL": "cancer", "VERSION": "2", "TOKEN": "s3cret"}


def test_a_prefix_stands_before_every_name_of_a_source() -> None:
    found = environment(envFrom=[{"prefix": "P_", "secretRef": {"name": "keys"}}])
    assert found["P_TOKEN"] == "s3cret"


def test_an_expansion_sees_what_stands_before_it_and_nothing_after() -> None:
    env = [
        {"name": "URL", "value": "$(HOST):$(PORT)"},
        {"name": "HOST", "value": "h"},
        {"name": "PORT", "value": "1"},
        {"name": "LATER", "value": "$(HOST):$(PORT)"},
    ]
    found = environment(env=env)
    assert (found["URL"], found["LATER"]) == ("$(HOST):$(PORT)", "h:1")


@given(st.dictionaries(NAMES, st.text(max_size=5)), st.text("$()AB_", max_size=20))
def test_expansion_changes_nothing_but_references_and_double_dollars(
    known: dict[str, str], text: str
) -> None:
    assert expand(text.replace("$", "$$"), known) == text


@given(st.dictionaries(NAMES, st.text(max_size=5), min_size=1))
def test_a_known_reference_is_replaced_once_and_its_value_not_looked_at(
    known: dict[str, str],
) -> None:
    for name, value in known.items():
        assert expand(f"<$({name})>", known) == f"<{value}>"


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "inference-1"),
        ("metadata.namespace", "staging"),
        ("metadata.labels['app']", "inference"),
        ("metadata.annotations['none']", ""),
        ("metadata.labels", 'app="inference"\ntier="a\\"b"'),
        ("spec.nodeName", "gpu-a1"),
        ("status.podIP", "127.40.1.2"),
        ("status.hostIP", "127.40.0.1"),
    ],
)
def test_a_field_of_the_pod_is_a_value(path: str, value: str) -> None:
    assert variable({"fieldRef": {"fieldPath": path}}) == value


@pytest.mark.parametrize(
    ("resource", "divisor", "value"),
    [
        ("limits.cpu", None, "2"),
        ("limits.cpu", "1m", "1500"),
        ("requests.memory", "1Mi", "2048"),
        ("limits.memory", "1Gi", "64"),
        ("requests.cpu", None, "0"),
    ],
)
def test_a_resource_is_rounded_up_in_units_of_its_divisor(
    resource: str, divisor: str | None, value: str
) -> None:
    reference = {"resource": resource} | ({"divisor": divisor} if divisor else {})
    assert variable({"resourceFieldRef": reference}) == value


@pytest.mark.parametrize(
    "container",
    [
        {"envFrom": [{"configMapRef": {"name": "absent"}}]},
        {"env": [{"name": "X", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "no"}}}]},
        {"env": [{"name": "X", "valueFrom": {"configMapKeyRef": {"name": "no", "key": "k"}}}]},
    ],
)
def test_what_is_missing_is_waited_for(container: dict[str, Any]) -> None:
    with pytest.raises(MissingReferenceError):
        environment(**container)


def test_what_is_missing_and_optional_is_left_out() -> None:
    key = {"name": "keys", "key": "no", "optional": True}
    found = environment(
        envFrom=[{"configMapRef": {"name": "absent", "optional": True}}],
        env=[{"name": "X", "valueFrom": {"secretKeyRef": key}}],
    )
    assert found == {"BASE": "b"}


def test_a_field_that_is_not_known_is_named() -> None:
    with pytest.raises(UnsupportedError, match=r"status\.phase"):
        variable({"fieldRef": {"fieldPath": "status.phase"}})


@given(st.integers(0, 10**6), st.sampled_from(["Ki", "Mi", "Gi"]))
def test_binary_suffixes_are_powers_of_1024(number: int, suffix: str) -> None:
    power = {"Ki": 1, "Mi": 2, "Gi": 3}[suffix]
    assert quantity(f"{number}{suffix}") == number * 1024**power
    assert quantity(f"{number}m") * 1000 == quantity(f"{number}")


@pytest.mark.parametrize("text", ["", "1Qi", "one", "1 Gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a quantity"):
        quantity(text)
