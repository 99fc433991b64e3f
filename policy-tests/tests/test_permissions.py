"""What a rule of a Role allows is read as the API server reads it."""

from __future__ import annotations

from typing import Any

import pytest
from gitops_policy.kubernetes.permissions import (
    RBAC,
    Access,
    allows_everything,
    bound_role,
    rules_of,
)
from gitops_policy.model import Document, Index
from hypothesis import given, settings
from hypothesis import strategies as st

EXEC = Access(("",), ("pods/exec",), ("create",))
PODS = Access(("",), ("pods",), ("create", "get"))
SIGNERS = Access(("certificates.k8s.io",), ("signers",), ("approve",))
NAMES = ["", "*", "apps", "pods", "pods/exec", "pods/*", "*/exec", "create", "get", "list"]


def rule(groups: list[str], resources: list[str], verbs: list[str]) -> dict[str, Any]:
    return {"apiGroups": groups, "resources": resources, "verbs": verbs}


@pytest.mark.parametrize(
    ("access", "given_rule", "allowed"),
    [
        (PODS, rule([""], ["pods"], ["get"]), True),
        (PODS, rule(["*"], ["*"], ["*"]), True),
        (PODS, rule(["apps", ""], ["deployments", "pods"], ["list", "create"]), True),
        (PODS, rule(["apps"], ["pods"], ["get"]), False),
        (PODS, rule([""], ["pods"], ["list"]), False),
        (PODS, rule([""], ["pods/exec"], ["get"]), False),
        (PODS, rule([""], ["pods/*"], ["get"]), False),
        (PODS, rule([""], ["pod*"], ["get"]), False),
        (EXEC, rule([""], ["pods"], ["create"]), False),
        (EXEC, rule([""], ["*"], ["create"]), True),
        (EXEC, rule([""], ["*/exec"], ["create"]), True),
        (EXEC, rule([""], ["*/log"], ["create"]), False),
        (EXEC, rule([""], ["pods/*"], ["create"]), True),
        (EXEC, rule([""], ["services/*"], ["create"]), False),
        (SIGNERS, rule(["certificates.k8s.io"], ["signers"], ["approve"]), True),
        (SIGNERS, rule([""], ["signers"], ["approve"]), True),
        (SIGNERS, rule([""], ["*"], ["approve"]), False),
        (SIGNERS, rule(["apps"], ["signers"], ["approve"]), False),
        (EXEC, {"nonResourceURLs": ["*"], "verbs": ["*"]}, False),
        (EXEC, {"resources": ["pods/exec"], "verbs": ["create"]}, True),
        (EXEC, {"apiGroups": "*", "resources": {}, "verbs": None}, False),
    ],
)
def test_access_is_compared_with_wildcards(
    access: Access, given_rule: dict[str, Any], allowed: bool
) -> None:
    assert access.allowed_by(given_rule) is allowed


lists = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3)


@settings(deadline=None)
@given(st.builds(rule, lists, lists, lists), st.sampled_from(NAMES))
def test_more_in_a_rule_never_takes_access_away(given_rule: dict[str, Any], more: str) -> None:
    for access in (EXEC, PODS):
        if access.allowed_by(given_rule):
            for field in ("apiGroups", "resources", "verbs"):
                assert access.allowed_by({**given_rule, field: [*given_rule[field], more]})


@settings(deadline=None)
@given(st.builds(rule, lists, lists, lists))
def test_who_may_do_everything_has_every_access(given_rule: dict[str, Any]) -> None:
    if allows_everything(given_rule):
        assert EXEC.allowed_by(given_rule)
        assert PODS.allowed_by(given_rule)


def role(kind: str, name: str, namespace: str = "", **content: Any) -> Document:
    metadata = {"name": name, "namespace": namespace, "labels": content.pop("labels", {})}
    return Document({"apiVersion": f"{RBAC}/v1", "kind": kind, "metadata": metadata, **content})


def binding(kind: str, to: str, namespace: str = "") -> Document:
    return role(kind, "b", namespace, roleRef={"kind": to, "name": "a"})


@pytest.mark.parametrize(
    ("kind", "to", "namespace", "found"),
    [
        ("RoleBinding", "Role", "one", ("Role", "one")),
        ("RoleBinding", "Role", "two", None),
        ("RoleBinding", "ClusterRole", "two", ("ClusterRole", "")),
        ("ClusterRoleBinding", "ClusterRole", "", ("ClusterRole", "")),
        ("ClusterRoleBinding", "Role", "", None),
    ],
)
def test_a_binding_finds_its_role(kind: str, to: str, namespace: str, found: Any) -> None:
    index = Index(
        [role("Role", "a", "one"), role("ClusterRole", "a"), binding(kind, to, namespace)]
    )
    bound = bound_role(index.of_kind(f"{RBAC}/{kind}")[0], index)
    assert (bound and (bound.kind, bound.namespace)) == found


def test_an_aggregated_role_has_the_rules_of_those_it_selects() -> None:
    selector = {"clusterRoleSelectors": [{"matchLabels": {"to": "a"}}]}
    part = role("ClusterRole", "part", rules=[{"verbs": ["get"]}], labels={"to": "a"})
    other = role("ClusterRole", "other", rules=[{"verbs": ["list"]}])
    index = Index([role("ClusterRole", "a", aggregationRule=selector), part, other])
    whole = index.get(f"{RBAC}/ClusterRole", "", "a")
    assert whole is not None
    assert rules_of(whole, index) == [{"verbs": ["get"]}]
