"""RBAC: no more than is needed."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_RBAC = "rbac.authorization.k8s.io"
_ROLES = [f"{_RBAC}/Role", f"{_RBAC}/ClusterRole"]
_BINDINGS = [f"{_RBAC}/RoleBinding", f"{_RBAC}/ClusterRoleBinding"]
_DOCS = "https://kubernetes.io/docs/concepts/security/rbac-good-practices/"


@rule(
    id="no-wildcard-permissions",
    title="Roles name verbs, resources and groups",
    severity="error",
    rationale="A wildcard also grants what is invented later.",
    references=[_DOCS],
    kinds=_ROLES,
    known_as=[
        "kube-linter:wildcard-in-rules",
        "checkov:CKV_K8S_49",
        "kubescape:C-0187",
        "trivy:KSV-0044",
        "trivy:KSV-0045",
        "trivy:KSV-0046",
        "kyverno:restrict-wildcard-verbs",
        "kyverno:restrict-wildcard-resources",
    ],
)
def no_wildcard_permissions(role: Resource) -> Iterator[Problem]:
    """No `*` among verbs, resources, groups or URLs."""
    for i, item in entries(role.content, "rules"):
        for name in ("verbs", "resources", "apiGroups", "nonResourceURLs"):
            if any("*" in str(value) for value in sequence(item, name)):
                yield role.problem(("rules", i, name), f"{name} has a wildcard", "list them")


@rule(
    id="no-secret-access",
    title="Roles do not read Secrets",
    severity="error",
    rationale=(
        "Who may list the Secrets of a namespace has them all; who may get one needs its name."
    ),
    references=[_DOCS + "#listing-secrets"],
    kinds=_ROLES,
    known_as=[
        "kube-linter:access-to-secrets",
        "checkov:CKV2_K8S_5",
        "kubescape:C-0015",
        "trivy:KSV-0041",
        "trivy:KSV-0113",
        "kyverno:restrict-secret-role-verbs",
    ],
)
def no_secret_access(role: Resource) -> Iterator[Problem]:
    """No list or watch of Secrets; get, update and delete only with resourceNames."""
    for i, item in entries(role.content, "rules"):
        groups, resources = (
            set(map(str, sequence(item, name))) for name in ("apiGroups", "resources")
        )
        if not {"", "*"} & groups or not {"secrets", "*"} & resources:
            continue
        verbs = {str(verb) for verb in sequence(item, "verbs")}
        if {"list", "watch", "deletecollection", "*"} & verbs:
            yield role.problem(
                ("rules", i), "it may list every Secret", "grant get with resourceNames"
            )
        elif not sequence(item, "resourceNames") and verbs - {"create"}:
            yield role.problem(("rules", i), "it may read any Secret", "add resourceNames")


@rule(
    id="no-cluster-admin",
    title="Nobody is bound to cluster-admin",
    severity="error",
    rationale="cluster-admin may do everything, everywhere.",
    references=[_DOCS + "#least-privilege"],
    kinds=_BINDINGS,
    known_as=[
        "kube-linter:cluster-admin-role-binding",
        "polaris:clusterrolebindingClusterAdmin",
        "kubescape:C-0185",
        "trivy:KSV-0111",
        "kyverno:restrict-binding-clusteradmin",
    ],
)
def no_cluster_admin(binding: Resource) -> Iterator[Problem]:
    """roleRef is not cluster-admin."""
    if text(binding.content, "roleRef", "name") == "cluster-admin":
        yield binding.problem(("roleRef", "name"), "binds cluster-admin", "write a small Role")


@rule(
    id="role-binding-resolves",
    title="A binding joins a Role and ServiceAccounts that exist",
    severity="error",
    rationale="A binding to a missing Role grants nothing: the job fails at its first call.",
    references=["https://kubernetes.io/docs/reference/access-authn-authz/rbac/"],
    kinds=_BINDINGS,
)
def role_binding_resolves(binding: Resource, world: World) -> Iterator[Problem]:
    """A namespaced Role and the ServiceAccounts of the own namespace are in the build."""
    reference = mapping(binding.content, "roleRef")
    name = text(reference, "name")
    role = world.index.get(f"{_RBAC}/Role", binding.namespace, name)
    if reference.get("kind") == "Role" and role is None:
        yield binding.problem(("roleRef", "name"), f"there is no Role {name!r}", "add it")
    for i, subject in entries(binding.content, "subjects"):
        namespace = text(subject, "namespace") or binding.namespace
        name = text(subject, "name")
        if field(subject, "kind") != "ServiceAccount" or namespace != binding.namespace:
            continue
        if name != "default" and world.index.get("ServiceAccount", namespace, name) is None:
            yield binding.problem(
                ("subjects", i, "name"), f"there is no ServiceAccount {name!r}", "add it"
            )
