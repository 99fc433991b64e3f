"""An AppProject permits what Argo CD's own matching permits: globs, deny patterns, clusters."""

from __future__ import annotations

from typing import Any

import pytest
from gitops_policy.argo.project_scope import (
    permits_destination,
    permits_source,
    refusal,
    repository_key,
)
from gitops_policy.model import Resource

HERE = {"server": "https://kubernetes.default.svc"}


def project(**spec: Any) -> Resource:
    content = {"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProject", "spec": spec}
    return Resource({**content, "metadata": {"name": "web"}}, "argocd")


@pytest.mark.parametrize(
    ("patterns", "url", "permitted"),
    [
        (["*"], "https://example.com/a/b.git", True),
        (["https://example.com/a/*"], "https://example.com/a/b.git", True),
        (["https://example.com/*"], "https://example.com/a/b", False),
        (["https://example.com/**"], "https://example.com/a/b", True),
        (["https://example.com/{a,b}/c"], "https://example.com/b/c", False),
        (["https://EXAMPLE.com/a.git"], "https://example.com/A", True),
        (["git@example.com:a/b.git"], "ssh://git@example.com/a/b", True),
        (["!https://example.com/a"], "https://example.com/b", True),
        (["*", "!https://example.com/a"], "https://example.com/a", False),
        ([], "https://example.com/a", False),
    ],
)
def test_a_repository_is_permitted_by_globs_that_stop_at_a_slash(
    patterns: list[str], url: str, permitted: bool
) -> None:
    assert permits_source(project(sourceRepos=patterns), url) is permitted


@pytest.mark.parametrize(
    ("listed", "asked", "namespace", "permitted"),
    [
        ([{**HERE, "namespace": "a"}], HERE, "a", True),
        ([{**HERE, "namespace": "team-*"}], HERE, "team-b", True),
        ([{**HERE, "namespace": "a"}], {"name": "in-cluster"}, "a", True),
        ([{"name": "in-cluster", "namespace": "a"}], HERE, "a", True),
        ([{"server": "*", "namespace": "*"}], {"server": "https://a"}, "b", True),
        ([{**HERE, "namespace": "!kube-system"}], HERE, "a", True),
        (
            [{**HERE, "namespace": "!kube-system"}, {**HERE, "namespace": "*"}],
            HERE,
            "kube-system",
            False,
        ),
        ([{**HERE, "namespace": "a"}], HERE, "b", False),
        ([], HERE, "a", False),
    ],
)
def test_a_destination_is_permitted_with_its_namespace(
    listed: list[dict[str, str]], asked: dict[str, str], namespace: str, permitted: bool
) -> None:
    assert permits_destination(project(destinations=listed), asked, namespace) is permitted


def test_kinds_are_permitted_by_lists_and_refused_by_them() -> None:
    everywhere = [{"server": "*", "namespace": "*"}]
    service = Resource({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}}, "a")
    role = Resource(
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {}}, "a"
    )
    open_project = project(destinations=everywhere)
    assert refusal(open_project, HERE, service) == ""
    assert "cluster-scoped" in refusal(open_project, HERE, role)
    any_kind = [{"group": "*", "kind": "*"}]
    both = project(clusterResourceWhitelist=any_kind, clusterResourceBlacklist=any_kind)
    assert "blacklist" in refusal(both, HERE, role)
    none = project(destinations=everywhere, namespaceResourceWhitelist=[])
    assert "kind Service" in refusal(none, HERE, service)


def test_a_repository_is_compared_without_case_scheme_of_ssh_and_ending() -> None:
    assert repository_key(" https://Example.com/A.git ") == "https://example.com/a"
    assert repository_key("git@example.com:a/b.git") == repository_key("ssh://git@example.com/a/b")
