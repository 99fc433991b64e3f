"""Selectors, amounts and scale: the arithmetic that rules build on."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import pytest
from gitops_policy import Config
from gitops_policy.kubernetes.amounts import container_amount, pod_amount
from gitops_policy.kubernetes.scaling import (
    Scale,
    release_pods,
    scale,
    surge,
    unavailable,
    workload_of,
)
from gitops_policy.kubernetes.selectors import matches
from gitops_policy.model import Document, Resource
from gitops_policy.notations.durations import go_seconds
from gitops_policy.notations.quantities import share, share_down
from gitops_policy.pods import Pod
from gitops_policy.reading.build import Build
from gitops_policy.world import World
from hypothesis import given
from hypothesis import strategies as st

LABELS = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))


def world(*manifests: dict[str, Any]) -> World:
    return World(Build(tuple(map(Document, manifests)), namespace="a"), Config(), None)


def workload(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    group = "argoproj.io/v1alpha1" if kind == "Rollout" else "apps/v1"
    return {"apiVersion": group, "kind": kind, "metadata": {"name": "web"}, "spec": spec}


@given(labels=LABELS, more=LABELS)
def test_a_selector_made_of_labels_accepts_them_and_any_more(
    labels: dict[str, str], more: dict[str, str]
) -> None:
    assert matches({"matchLabels": labels}, {**more, **labels})
    if not labels.items() <= more.items():
        assert not matches({"matchLabels": labels}, more)


@given(labels=LABELS, key=st.sampled_from("abcd"), values=st.lists(st.sampled_from("xyz")))
def test_an_expression_and_its_opposite_never_agree(
    labels: dict[str, str], key: str, values: list[str]
) -> None:
    def holds(operator: str) -> bool:
        term = {"key": key, "operator": operator, "values": values}
        return matches({"matchExpressions": [term]}, labels)

    assert holds("In") is not holds("NotIn")
    assert holds("Exists") is not holds("DoesNotExist")


def pod(**spec: Any) -> Pod:
    content = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": spec}
    return Pod(Resource(content, "a"), (), content)


def container(cpu: str | int, **extra: Any) -> dict[str, Any]:
    return {"name": "c", "resources": {"requests": {"cpu": cpu}}, **extra}


@given(
    init=st.lists(st.integers(0, 9)),
    running=st.lists(st.integers(0, 9)),
    sidecars=st.lists(st.integers(0, 9)),
)
def test_a_pod_needs_the_larger_of_starting_and_running(
    init: list[int], running: list[int], sidecars: list[int]
) -> None:
    subject = pod(
        initContainers=[container(n, restartPolicy="Always") for n in sidecars]
        + [container(n) for n in init],
        containers=[container(n) for n in running],
        overhead={"cpu": 1},
    )
    needed = sum(sidecars) + max([sum(running), *init])
    assert pod_amount(subject, "requests", "cpu") == needed + 1


def test_ephemeral_containers_ask_for_nothing() -> None:
    assert pod_amount(pod(ephemeralContainers=[container(5)]), "requests", "cpu") == 0


@pytest.mark.parametrize(
    ("resources", "limits", "bound", "amount"),
    [
        ({"requests": {"cpu": "100m"}}, None, "requests", Fraction(1, 10)),
        ({"limits": {"cpu": 2}}, {"defaultRequest": {"cpu": 1}}, "requests", Fraction(2)),
        ({}, {"defaultRequest": {"cpu": 1}, "default": {"cpu": 3}}, "requests", Fraction(1)),
        ({}, {"default": {"cpu": 3}}, "requests", Fraction(3)),
        ({"requests": {"cpu": 1}}, {"default": {"cpu": 3}}, "limits", Fraction(3)),
        ({}, None, "limits", None),
    ],
)
def test_missing_amounts_come_from_limits_and_the_limit_range(
    resources: dict[str, Any], limits: dict[str, Any] | None, bound: str, amount: Fraction | None
) -> None:
    [subject] = pod(containers=[{"name": "c", "resources": resources}]).containers
    assert container_amount(subject, bound, "cpu", limits) == amount


@given(replicas=st.integers(0, 100), surge=st.integers(0, 100))
def test_a_rolling_update_adds_its_surge_rounded_up(replicas: int, surge: int) -> None:
    rolling = {"strategy": {"rollingUpdate": {"maxSurge": f"{surge}%"}}}
    subject = Resource(workload("Deployment", rolling), "a")
    assert release_pods(subject, replicas) == replicas + ceil(Fraction(surge * replicas, 100))


@pytest.mark.parametrize(
    ("kind", "strategy", "most"),
    [
        ("Rollout", {"canary": {"trafficRouting": {}}}, 8),
        ("Rollout", {"blueGreen": {}}, 8),
        ("Rollout", {"canary": {"maxSurge": 2}}, 6),
        ("Rollout", {"canary": {}}, 5),
        (
            "Rollout",
            {
                "canary": {
                    "maxSurge": 0,
                    "steps": [{"experiment": {"templates": [{}, {"replicas": 2}]}}],
                }
            },
            7,
        ),
        (
            "Rollout",
            {"canary": {"trafficRouting": {}, "steps": [{"experiment": {"templates": [{}]}}]}},
            8,
        ),
        ("Deployment", {"type": "Recreate"}, 4),
        ("StatefulSet", {}, 4),
    ],
)
def test_the_pods_of_a_release_depend_on_its_strategy(
    kind: str, strategy: dict[str, Any], most: int
) -> None:
    assert release_pods(Resource(workload(kind, {"strategy": strategy}), "a"), 4) == most


@given(replicas=st.integers(1, 100), more=st.integers(0, 100), less=st.integers(0, 100))
def test_an_update_may_always_add_a_pod_or_take_one(replicas: int, more: int, less: int) -> None:
    rolling = {"maxSurge": f"{more}%", "maxUnavailable": f"{less}%"}
    subject = Resource(workload("Deployment", {"strategy": {"rollingUpdate": rolling}}), "a")
    added, taken = surge(subject, replicas), unavailable(subject, replicas)
    assert added + taken >= 1
    assert added == ceil(Fraction(more * replicas, 100))
    assert taken == max(less * replicas // 100, 0 if added else 1)


@pytest.mark.parametrize(
    ("kind", "strategy", "taken"),
    [
        ("Deployment", {}, 0),
        ("Deployment", {"type": "Recreate"}, 3),
        ("Deployment", {"rollingUpdate": {"maxUnavailable": 2}}, 2),
        ("Rollout", {"canary": {"maxUnavailable": 1}}, 1),
        ("StatefulSet", {}, 1),
    ],
)
def test_what_an_update_takes_first_is_rounded_down(
    kind: str, strategy: dict[str, Any], taken: int
) -> None:
    assert unavailable(Resource(workload(kind, {"strategy": strategy}), "a"), 3) == taken


@given(value=st.integers(0, 200), whole=st.integers(0, 100))
def test_the_two_roundings_of_a_share_meet_where_it_is_whole(value: int, whole: int) -> None:
    up, down = share(f"{value}%", whole), share_down(f"{value}%", whole)
    assert up is not None
    assert down is not None
    assert up - down == (0 if value * whole % 100 == 0 else 1)
    assert share(value, whole) == share_down(value, whole) == value


def test_a_count_that_git_leaves_out_is_told_from_one_that_it_says() -> None:
    for spec, expected in (({}, Scale(1, 1, written=False)), ({"replicas": 1}, Scale(1, 1))):
        found = world(workload("Deployment", spec))
        assert scale(found.index.resources[0], found) == expected


def test_a_keda_object_scales_a_deployment_unless_it_says_otherwise() -> None:
    keda = {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": {"name": "web"},
        "spec": {"scaleTargetRef": {"name": "web"}, "minReplicaCount": 2, "maxReplicaCount": 6},
    }
    found = world(workload("Deployment", {"replicas": 1}), keda)
    [subject] = found.index.of_kind("apps/Deployment")
    assert scale(subject, found) == Scale(2, 6, found.index.resources[1])


def test_a_template_that_a_rollout_refers_to_is_the_rollouts() -> None:
    reference = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"}
    template = {"spec": {"containers": [{"name": "c"}]}}
    found = world(
        workload("Deployment", {"template": template}),
        workload("Rollout", {"workloadRef": reference}),
    )
    assert workload_of(found.pods[0], found).kind == "Rollout"


@pytest.mark.parametrize(
    ("written", "amount"),
    [("30s", 30), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("", None), ("5", None)],
)
def test_durations_are_read_as_go_writes_them(written: str, amount: float | None) -> None:
    assert go_seconds(written) == amount
