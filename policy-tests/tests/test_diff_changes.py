"""Two versions of an object: what differs is said once, and noise is not said."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest
from gitops_policy.diff.changes import ABSENT, changes, names_of
from gitops_policy.diff.compare import compare, releases
from gitops_policy.model import Document
from gitops_policy.reading.build import Build
from hypothesis import given, settings
from hypothesis import strategies as st

DEPLOYMENT: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "Deployment",
    "metadata": {"name": "web", "labels": {"app": "web"}},
    "spec": {
        "replicas": 2,
        "template": {
            "metadata": {"labels": {"app": "web"}},
            "spec": {
                "initContainers": [
                    {"name": "first", "image": "tools:1"},
                    {"name": "second", "image": "tools:1"},
                ],
                "containers": [
                    {
                        "name": "web",
                        "image": "registry.example/web:1.0",
                        "args": ["--a", "--b"],
                        "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
                        "ports": [
                            {"containerPort": 8080, "name": "http"},
                            {"containerPort": 9090, "name": "metrics"},
                        ],
                        "resources": {"limits": {"cpu": "1", "memory": "1Gi"}},
                    },
                    {"name": "proxy", "image": "proxy:2"},
                ],
                "volumes": [{"name": "tmp", "emptyDir": {}}],
            },
        },
    },
}
POD = ("spec", "template", "spec")
WEB = (*POD, "containers", 0)


def edited(*edits: tuple[tuple[Any, ...], Any]) -> dict[str, Any]:
    content = deepcopy(DEPLOYMENT)
    for path, value in edits:
        parent: Any = content
        for step in path[:-1]:
            parent = parent[step]
        if value is ABSENT:
            del parent[path[-1]]
        else:
            parent[path[-1]] = value
    return content


def said(before: Any, after: Any) -> list[str]:
    return [f"{c.place}: {c.before!r} -> {c.after!r}" for c in changes(before, after)]


def reversed_at(*path: Any) -> dict[str, Any]:
    content = deepcopy(DEPLOYMENT)
    value: Any = content
    for step in path:
        value = value[step]
    value.reverse()
    return content


def test_an_object_does_not_differ_from_itself() -> None:
    assert changes(DEPLOYMENT, deepcopy(DEPLOYMENT)) == []


@pytest.mark.parametrize(
    "path",
    [(*POD, "containers"), (*WEB, "env"), (*WEB, "ports")],
    ids=lambda path: path[-1],
)
def test_lists_that_are_maps_have_no_order(path: tuple[Any, ...]) -> None:
    assert changes(DEPLOYMENT, reversed_at(*path)) == []


def test_init_containers_run_in_their_order() -> None:
    (change,) = changes(DEPLOYMENT, reversed_at(*POD, "initContainers"))
    assert change.place == "spec.template.spec.initContainers[order]"
    assert (change.before, change.after) == (["first", "second"], ["second", "first"])


def test_arguments_are_taken_in_their_order() -> None:
    assert said(DEPLOYMENT, reversed_at(*WEB, "args")) == [
        "spec.template.spec.containers[web].args[0]: (absent) -> '--b'",
        "spec.template.spec.containers[web].args[1]: '--b' -> (absent)",
    ]


def test_rollout_steps_are_taken_in_their_order() -> None:
    steps = [{"setWeight": 10}, {"pause": {"duration": "5m"}}, {"setWeight": 50}]
    before = {"spec": {"strategy": {"canary": {"steps": steps}}}}
    after = {"spec": {"strategy": {"canary": {"steps": [steps[1], steps[0], steps[2]]}}}}
    assert len(changes(before, after)) == 2


def test_a_step_in_the_middle_does_not_change_those_behind_it() -> None:
    steps = [{"setWeight": 10}, {"setWeight": 50}]
    new = {"setWeight": 30}
    (change,) = changes({"steps": steps}, {"steps": [steps[0], new, steps[1]]})
    assert (change.pointer, change.before, change.after) == ("/steps/1", ABSENT, new)


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("verbs", ["get", "list"], ["list", "get"]),
        ("policyTypes", ["Ingress", "Egress"], ["Egress", "Ingress"]),
        ("to", [{"a": 1}, {"b": 2}], [{"b": 2}, {"a": 1}]),
        ("rules", [{"verbs": ["get"]}, {"verbs": ["list"]}],
         [{"verbs": ["list"]}, {"verbs": ["get"]}]),
        ("clusterResourceWhitelist", [{"group": "", "kind": "A"}, {"group": "", "kind": "B"}],
         [{"group": "", "kind": "B"}, {"group": "", "kind": "A"}]),
        ("backendRefs", [{"name": "a", "port": 1}, {"name": "b", "port": 1}],
         [{"name": "b", "port": 1}, {"name": "a", "port": 1}]),
    ],
)  # fmt: skip
def test_sets_have_no_order(field: str, before: list[Any], after: list[Any]) -> None:
    assert changes({field: before}, {field: after}) == []


@pytest.mark.parametrize(
    ("field", "before", "after"),
    [
        ("command", ["a", "b"], ["b", "a"]),
        ("rules", [{"matches": 1}, {"matches": 2}], [{"matches": 2}, {"matches": 1}]),
        ("filters", [{"type": "A"}, {"type": "B"}], [{"type": "B"}, {"type": "A"}]),
        ("args", ["a", "b"], ["b", "a"]),
        ("rules", [{"record": "a"}, {"record": "b"}], [{"record": "b"}, {"record": "a"}]),
    ],
)
def test_sequences_have_an_order(field: str, before: list[Any], after: list[Any]) -> None:
    assert changes({field: before}, {field: after})


def test_arguments_of_an_analysis_are_found_by_name() -> None:
    before = {"args": [{"name": "a", "value": "1"}, {"name": "b", "value": "2"}]}
    after = {"args": [{"name": "b", "value": "3"}, {"name": "a", "value": "1"}]}
    assert said(before, after) == ["args[b].value: '2' -> '3'"]


@pytest.mark.parametrize(
    "edit",
    [
        ((*WEB, "resources", "limits", "cpu"), "1000m"),
        ((*WEB, "resources", "limits", "cpu"), 1),
        ((*WEB, "resources", "limits", "memory"), "1024Mi"),
        ((*WEB, "ports", 0, "protocol"), "TCP"),
        ((*WEB, "command"), None),
    ],
    ids=["millicores", "number", "mebibytes", "the default protocol", "null"],
)
def test_what_means_the_same_is_no_change(edit: tuple[Any, Any]) -> None:
    assert changes(DEPLOYMENT, edited(edit)) == []


@pytest.mark.parametrize(
    ("edit", "expected"),
    [
        ((("spec", "replicas"), 3), "spec.replicas: 2 -> 3"),
        (((*WEB, "env", 1, "value"), "x"), "spec.containers[web].env[B].value: '2' -> 'x'"),
        (((*WEB, "env", 0), {"name": "C", "value": "1"}), "spec.containers[web].env[A]"),
        (((*WEB, "resources", "limits", "cpu"), "2"), "resources.limits.cpu: '1' -> '2'"),
        ((("metadata", "labels"), ABSENT), "metadata.labels: {'app': 'web'} -> (absent)"),
        ((("spec", "replicas"), "2"), "spec.replicas: 2 -> '2'"),
    ],
)  # fmt: skip
def test_a_change_is_said_by_name(edit: tuple[Any, Any], expected: str) -> None:
    assert expected in "\n".join(said(DEPLOYMENT, edited(edit)))


def test_names_of_a_path_hold_the_keys_of_lists() -> None:
    path = (*WEB, "env", 1, "value")
    names = ("spec", "template", "spec", "containers", "[web]", "env", "[B]", "value")
    assert names_of(DEPLOYMENT, path) == names
    assert names_of({}, ("a", 0)) == ("a", "0")


def test_a_removed_item_points_into_the_older_object() -> None:
    after = edited(
        ((*POD, "containers"), [DEPLOYMENT["spec"]["template"]["spec"]["containers"][1]])
    )
    (change,) = changes(DEPLOYMENT, after)
    assert (change.former, change.after) == (WEB, ABSENT)


values = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 3) | st.sampled_from(["", "a", "1", "1000m"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "ports", "args", "rules", "a"]), inner, max_size=3
        )
    ),
    max_leaves=12,
)


@settings(max_examples=300, deadline=None, derandomize=True)
@given(values, values)
def test_any_two_values_can_be_compared(before: Any, after: Any) -> None:
    assert changes(before, before) == []
    forth, back = changes(before, after), changes(after, before)
    assert bool(forth) == bool(back)
    for change in forth:
        assert change.place is not None
        assert change.pointer is not None


# Objects of a build.


def config_map(name: str, **data: str) -> dict[str, Any]:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data}


def build(*documents: dict[str, Any]) -> Build:
    return Build(tuple(Document(content) for content in documents), "dev/web")


def reading(name: str) -> dict[str, Any]:
    return edited(((*WEB, "envFrom"), [{"configMapRef": {"name": name}}]))


def test_a_generated_name_that_follows_its_content_is_one_change() -> None:
    before = build(config_map("app-5m7ktd4fgh", LEVEL="info"), reading("app-5m7ktd4fgh"))
    after = build(config_map("app-bb2mk8t9fc", LEVEL="debug"), reading("app-bb2mk8t9fc"))
    first, second = compare(before, after)
    assert (first.shown, first.status, first.former_name) == (
        "ConfigMap default/app",
        "changed",
        "app-5m7ktd4fgh",
    )
    assert [(e.place, e.before, e.after) for e in first.edits] == [("data.LEVEL", "info", "debug")]
    assert (second.shown, second.edits) == ("Deployment default/web", ())
    assert second.restarts == "pods are replaced"


def test_a_plain_name_that_changes_is_another_object() -> None:
    found = compare(build(config_map("app-one")), build(config_map("app-two")))
    assert [(o.shown, o.status) for o in found] == [
        ("ConfigMap default/app-one", "removed"),
        ("ConfigMap default/app-two", "added"),
    ]


def test_only_generated_kinds_lose_a_hash() -> None:
    role = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role"}
    one, two = ({**role, "metadata": {"name": f"a-{h}"}} for h in ("5m7ktd4fgh", "bb2mk8t9fc"))
    assert [o.status for o in compare(build(one), build(two))] == ["removed", "added"]


@pytest.mark.parametrize(
    ("edit", "restarts"),
    [
        ((("spec", "replicas"), 9), ""),
        ((("metadata", "labels", "app"), "x"), ""),
        (((*WEB, "image"), "x"), "pods are replaced"),
        ((("spec", "template", "metadata", "labels", "app"), "x"), "pods are replaced"),
    ],
)
def test_pods_restart_for_their_template_only(edit: tuple[Any, Any], restarts: str) -> None:
    (found,) = compare(build(DEPLOYMENT), build(edited(edit)))
    assert found.restarts == restarts


def test_an_api_version_of_the_same_group_is_a_change_of_the_same_object() -> None:
    (found,) = compare(build(DEPLOYMENT), build({**DEPLOYMENT, "apiVersion": "apps/v1beta2"}))
    assert [e.place for e in found.edits] == ["apiVersion"]


def test_objects_that_stand_twice_are_counted() -> None:
    twice = build(config_map("a"), config_map("a"))
    assert [o.status for o in compare(build(config_map("a")), twice)] == ["added"]
    assert [o.status for o in compare(twice, build(config_map("a")))] == ["removed"]
    assert compare(twice, twice) == ()


@pytest.mark.parametrize(
    ("kind", "path", "category"),
    [
        ("Deployment", (*WEB, "image"), "image"),
        ("Deployment", ("spec", "replicas"), "replicas"),
        ("Deployment", (*WEB, "env", 0, "value"), "env"),
        ("Deployment", (*WEB, "resources", "limits", "cpu"), "resources"),
        ("Deployment", ("spec", "template", "metadata", "annotations", "model-version"), "model"),
        ("HTTPRoute", ("spec", "rules", 0, "backendRefs", 0, "weight"), "traffic"),
        ("ResourceQuota", ("spec", "hard", "pods"), "resources"),
        ("ScaledObject", ("spec", "maxReplicaCount"), "replicas"),
        ("Deployment", ("metadata", "labels", "image"), "other"),
        ("Deployment", (*POD, "affinity", "podAntiAffinity", "weight"), "other"),
    ],
)  # fmt: skip
def test_a_field_is_about_something(kind: str, path: tuple[Any, ...], category: str) -> None:
    from gitops_policy.diff.meaning import category as of
    from gitops_policy.model import Resource

    resource = Resource({"apiVersion": "apps/v1", "kind": kind, "metadata": {"name": "a"}}, "x")
    assert of(resource, path) == category


def test_models_are_compared_by_the_config_map_that_names_them() -> None:
    before = build(config_map("release-5m7ktd4fgh", MODEL_NAME="m", MODEL_VERSION="1"))
    after = build(config_map("release-bb2mk8t9fc", MODEL_NAME="m", MODEL_VERSION="2"))
    (release,) = releases(before, after)
    assert (release.before["version"], release.after["version"]) == ("1", "2")
    assert releases(before, before) == ()


# Secrets.

SECRET = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}
LITERAL = "hunter2hunter2"


def shown_edits(before: dict[str, Any], after: dict[str, Any]) -> str:
    return repr([(o.edits, o.status) for o in compare(build(before), build(after))])


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({**SECRET, "stringData": {"a": "x"}}, {**SECRET, "stringData": {"a": LITERAL}}),
        (SECRET, {**SECRET, "data": {"a": LITERAL}}),
        ({**SECRET, "data": {"a": LITERAL}}, {**SECRET, "data": {"b": "x"}}),
        (config_map("c", DB_PASSWORD="x"), config_map("c", DB_PASSWORD=LITERAL)),
        ({**config_map("c"), "data": None}, config_map("c", DB_PASSWORD=LITERAL)),
        ({"kind": "Application", "spec": {"valuesObject": {"auth": {"password": "x"}}}},
         {"kind": "Application", "spec": {"valuesObject": {"auth": {"password": LITERAL}}}}),
        (config_map("c"), config_map("c", url=f"postgres://user:{LITERAL}@db/app")),
        (config_map("c", f="a\n"), config_map("c", f=f"a\npassword: {LITERAL}\n")),
        (DEPLOYMENT, edited(((*WEB, "env", 1), {"name": "API_TOKEN", "value": LITERAL}))),
        (edited(((*WEB, "env", 1), {"name": "API_TOKEN", "value": LITERAL})),
         edited(((*WEB, "env"), [{"name": "API_TOKEN", "value": "x"}]))),
        (DEPLOYMENT, edited(((*WEB, "args"), ["--a", f"--password={LITERAL}"]))),
        (DEPLOYMENT, edited((("metadata", "annotations"),
         {"kubectl.kubernetes.io/last-applied-configuration": LITERAL}))),
    ],
)  # fmt: skip
def test_what_looks_like_a_secret_is_not_shown(before: Any, after: Any) -> None:
    shown = shown_edits(before, after)
    assert "redacted" in shown
    assert LITERAL not in shown


def test_a_reference_to_a_secret_is_shown() -> None:
    source = {"secretKeyRef": {"name": "tokens", "key": "token"}}
    before = edited(((*WEB, "env", 1), {"name": "API_TOKEN", "valueFrom": source}))
    after = deepcopy(before)
    after["spec"]["template"]["spec"]["containers"][0]["env"][1]["valueFrom"]["secretKeyRef"][
        "name"
    ] = "other"
    assert "'other'" in shown_edits(before, after)
