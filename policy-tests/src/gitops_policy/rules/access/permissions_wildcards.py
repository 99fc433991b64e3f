"""RBAC: Roles name what they allow."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, sequence
from gitops_policy.kubernetes.permissions import GOOD_PRACTICES, ROLES, allows_everything
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_DOCS = GOOD_PRACTICES + "#least-privilege"
_WHY = "A wildcard also grants what is invented later."


def _wildcards(role: Resource, name: str, fix: str) -> Iterator[Problem]:
    for i, item in entries(role.content, "rules"):
        if any("*" in str(value) for value in sequence(item, name)):
            yield role.problem(("rules", i, name), f"{name} has a wildcard", fix)


@rule(
    id="no-wildcard-verbs",
    title="Roles name the verbs",
    severity="error",
    rationale=_WHY,
    references=[_DOCS],
    kinds=ROLES,
    known_as=(
        "kube-linter:wildcard-in-rules checkov:CKV_K8S_49 trivy:KSV-0045 datree:97 "
        "kyverno:restrict-wildcard-verbs cis:5.1.3"
    ),
)
def no_wildcard_verbs(role: Resource) -> Iterator[Problem]:
    """No `*` among the verbs."""
    yield from _wildcards(role, "verbs", "list the verbs")


@rule(
    id="no-wildcard-resources",
    title="Roles name the resources",
    severity="error",
    rationale=_WHY,
    references=[_DOCS],
    kinds=ROLES,
    known_as=(
        "kube-linter:wildcard-in-rules checkov:CKV_K8S_49 trivy:KSV-0046 trivy:KSV-0112 "
        "datree:97 kyverno:restrict-wildcard-resources cis:5.1.3"
    ),
)
def no_wildcard_resources(role: Resource) -> Iterator[Problem]:
    """No `*` among the resources and the URLs."""
    yield from _wildcards(role, "resources", "list the resources")
    yield from _wildcards(role, "nonResourceURLs", "list the paths")


@rule(
    id="no-wildcard-api-groups",
    title="Roles name the API groups",
    severity="error",
    rationale=_WHY,
    references=[_DOCS],
    kinds=ROLES,
    known_as="checkov:CKV_K8S_49 datree:97 cis:5.1.3",
)
def no_wildcard_api_groups(role: Resource) -> Iterator[Problem]:
    """No `*` among the API groups."""
    yield from _wildcards(role, "apiGroups", "list the groups")


@rule(
    id="no-administrator-role",
    title="No Role allows everything",
    severity="error",
    rationale="Whoever is bound to it, today or later, is an administrator.",
    references=[_DOCS],
    kinds=ROLES,
    known_as=(
        "kube-linter:wildcard-resource-verb-combo kubescape:C-0035 kubescape:C-0187 trivy:KSV-0044"
    ),
)
def no_administrator_role(role: Resource) -> Iterator[Problem]:
    """No rule has all verbs on all resources of all groups, or of the core group."""
    for i, item in entries(role.content, "rules"):
        if allows_everything(item, ("*", "")):
            yield role.problem(("rules", i), "it may do everything", "list what is needed")
