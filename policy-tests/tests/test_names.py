"""Names, keys and values are judged as the API server's validation does."""

import pytest
from gitops_policy.notations.names import key_fault, label_fault, name_fault, value_fault


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ConfigMap", "a.b-c.d"),
        ("ConfigMap", "0"),
        ("ConfigMap", "a" * 253),
        ("Service", "a-1"),
        ("Namespace", "1a"),
        ("batch/CronJob", "a" * 52),
        ("rbac.authorization.k8s.io/Role", "System:Web_1"),
        ("argoproj.io/Rollout", "web.v1"),
    ],
)
def test_names_that_are_taken(kind: str, name: str) -> None:
    assert name_fault(kind, name) == ""


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("ConfigMap", "A"),
        ("ConfigMap", "a_b"),
        ("ConfigMap", "a..b"),
        ("ConfigMap", "a."),
        ("ConfigMap", "a\n"),
        ("ConfigMap", "a" * 254),
        ("Service", "1a"),
        ("Service", "a.b"),
        ("Namespace", "a" * 64),
        ("batch/CronJob", "a" * 53),
        ("rbac.authorization.k8s.io/ClusterRole", "a/b"),
        ("rbac.authorization.k8s.io/ClusterRole", ".."),
    ],
)
def test_names_that_are_refused(kind: str, name: str) -> None:
    assert name_fault(kind, name)


def test_a_prefix_may_end_in_a_dash() -> None:
    assert name_fault("batch/Job", "sweep-", prefix=True) == ""
    assert name_fault("batch/Job", "sweep-")


@pytest.mark.parametrize("key", ["a", "A_b.c-1", "example.com/a", "a" * 63])
def test_keys_that_are_taken(key: str) -> None:
    assert key_fault(key) == ""


@pytest.mark.parametrize("key", ["", "/a", "a/", "a/b/c", "Example.com/a", "-a", "a b", "a" * 64])
def test_keys_that_are_refused(key: str) -> None:
    assert key_fault(key)


@pytest.mark.parametrize(
    ("value", "taken"),
    [
        ("", True),
        ("A_b.c-1", True),
        ("a/b", False),
        ("-a", False),
        ("a" * 64, False),
        ("a\n", False),
    ],
)
def test_values_of_labels(value: str, taken: bool) -> None:
    assert (value_fault(value) == "") is taken


def test_container_names_are_labels() -> None:
    assert label_fault("web-1") == ""
    assert label_fault("web.1")
