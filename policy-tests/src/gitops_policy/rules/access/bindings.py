"""RBAC bindings: who is given which Role."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, field, mapping, text
from gitops_policy.kubernetes.permissions import (
    BINDINGS,
    CHANGES,
    GOOD_PRACTICES,
    RBAC,
    Access,
    allows_everything,
    bound_role,
    built_in,
    default_binding,
    rules_of,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_LEAST = GOOD_PRACTICES + "#least-privilege"
_ROLES = "https://kubernetes.io/docs/reference/access-authn-authz/rbac/"
_TAKEOVER = Access(
    ("", "apps", "batch"),
    (
        "pods",
        "pods/exec",
        "pods/attach",
        "pods/portforward",
        "deployments",
        "statefulsets",
        "daemonsets",
        "jobs",
        "cronjobs",
        "nodes",
        "secrets",
    ),
    ("get", "list", "watch", *CHANGES),
)
_ANONYMOUS = ("system:anonymous", "system:unauthenticated")


@rule(
    id="no-cluster-admin",
    title="Nobody is bound to cluster-admin",
    severity="error",
    rationale="cluster-admin may do everything, everywhere.",
    references=[_LEAST],
    kinds=[f"{RBAC}/ClusterRoleBinding"],
    known_as=(
        "kube-linter:cluster-admin-role-binding polaris:clusterrolebindingClusterAdmin "
        "kubescape:C-0185 trivy:KSV-0111 datree:95 kyverno:restrict-binding-clusteradmin cis:5.1.1"
    ),
)
def no_cluster_admin(binding: Resource) -> Iterator[Problem]:
    """A ClusterRoleBinding's roleRef is not cluster-admin; Kubernetes' own binding is let off."""
    if text(binding.content, "roleRef", "name") == "cluster-admin" and not default_binding(binding):
        yield binding.problem(("roleRef", "name"), "binds cluster-admin", "write a small Role")


@rule(
    id="no-cluster-admin-in-namespace",
    title="Nobody is bound to cluster-admin in a namespace",
    severity="error",
    rationale="In its namespace it gives every right, also to read Secrets and to bind Roles.",
    references=[_LEAST],
    kinds=[f"{RBAC}/RoleBinding"],
    known_as=(
        "polaris:rolebindingClusterAdminClusterRole trivy:KSV-0111 datree:95 "
        "kyverno:restrict-binding-clusteradmin cis:5.1.1"
    ),
)
def no_cluster_admin_in_namespace(binding: Resource) -> Iterator[Problem]:
    """A RoleBinding's roleRef is not cluster-admin."""
    if text(binding.content, "roleRef", "name") == "cluster-admin":
        yield binding.problem(("roleRef", "name"), "binds cluster-admin", "write a small Role")


@rule(
    id="no-administrator-binding",
    title="Nobody is bound to a ClusterRole that allows everything",
    severity="error",
    rationale="A Role of wildcards is cluster-admin by another name.",
    references=[_LEAST],
    kinds=[f"{RBAC}/ClusterRoleBinding"],
    known_as="polaris:clusterrolebindingClusterAdmin cis:5.1.1",
)
def no_administrator_binding(binding: Resource, world: World) -> Iterator[Problem]:
    """A ClusterRoleBinding's ClusterRole has no rule with all verbs on all resources."""
    yield from _everything(binding, world, "ClusterRole")


@rule(
    id="no-namespace-administrator-binding",
    title="Nobody is bound in a namespace to a ClusterRole that allows everything",
    severity="error",
    rationale="A Role of wildcards is cluster-admin by another name.",
    references=[_LEAST],
    kinds=[f"{RBAC}/RoleBinding"],
    known_as="polaris:rolebindingClusterAdminClusterRole cis:5.1.1",
)
def no_namespace_administrator_binding(binding: Resource, world: World) -> Iterator[Problem]:
    """A RoleBinding's ClusterRole in the build has no rule with all verbs on all resources."""
    yield from _everything(binding, world, "ClusterRole")


@rule(
    id="no-administrator-role-binding",
    title="Nobody is bound to a Role that allows everything",
    severity="error",
    rationale="A Role of wildcards is cluster-admin by another name.",
    references=[_LEAST],
    kinds=[f"{RBAC}/RoleBinding"],
    known_as="polaris:rolebindingClusterAdminRole cis:5.1.1",
)
def no_administrator_role_binding(binding: Resource, world: World) -> Iterator[Problem]:
    """A RoleBinding's Role in the build has no rule with all verbs on all resources."""
    yield from _everything(binding, world, "Role")


def _everything(binding: Resource, world: World, kind: str) -> Iterator[Problem]:
    role = bound_role(binding, world.index)
    if role is None or role.kind != kind or built_in(binding):
        return
    if any(allows_everything(item) for item in rules_of(role, world.index)):
        yield binding.problem(
            ("roleRef", "name"),
            f"binds the {role.kind} {role.name!r}, which allows everything",
            "list what is needed in the Role",
        )


@rule(
    id="no-default-administrator-binding",
    title="Nobody is bound to the default ClusterRoles admin and edit",
    severity="info",
    rationale="Both read every Secret of a namespace and run pods with any account there.",
    references=[_ROLES + "#user-facing-roles"],
    kinds=BINDINGS,
    known_as="trivy:KSV-0111",
    default=False,
)
def no_default_administrator_binding(binding: Resource) -> Iterator[Problem]:
    """The roleRef is neither `admin` nor `edit`."""
    name = text(binding.content, "roleRef", "name")
    if name in ("admin", "edit"):
        yield binding.problem(("roleRef", "name"), f"binds {name!r}", "write a small Role")


@rule(
    id="no-masters-binding",
    title="Nothing is bound to the group system:masters",
    severity="error",
    rationale="Its members pass every authorization check; no binding can take that away.",
    references=[GOOD_PRACTICES + "#least-privilege"],
    kinds=BINDINGS,
    known_as=(
        "kubescape:C-0246 trivy:KSV-0123 datree:104 kyverno:restrict-binding-system-groups "
        "cis:5.1.7"
    ),
)
def no_masters_binding(binding: Resource) -> Iterator[Problem]:
    """No subject is system:masters; Kubernetes' own binding is let off."""
    if not default_binding(binding):
        yield from _subjects(binding, ("system:masters",))


@rule(
    id="no-anonymous-binding",
    title="Nothing is bound to those who are not logged in",
    severity="error",
    rationale="Whoever reaches the API server has these rights.",
    references=[_ROLES + "#discovery-roles"],
    kinds=BINDINGS,
    known_as=(
        "kubescape:C-0262 trivy:KSV-0122 gatekeeper:disallowanonymous "
        "kyverno:restrict-binding-system-groups"
    ),
)
def no_anonymous_binding(binding: Resource) -> Iterator[Problem]:
    """No subject is system:anonymous or system:unauthenticated."""
    yield from _subjects(binding, _ANONYMOUS)


@rule(
    id="no-authenticated-binding",
    title="Nothing is bound to everybody who is logged in",
    severity="error",
    rationale="Every account of every pod, and on some clouds everybody with a login, has them.",
    references=[_ROLES + "#discovery-roles"],
    kinds=BINDINGS,
    known_as=(
        "trivy:KSV-01011 gatekeeper:disallowanonymous kyverno:restrict-binding-system-groups"
    ),
)
def no_authenticated_binding(binding: Resource) -> Iterator[Problem]:
    """No subject is system:authenticated."""
    if not default_binding(binding):
        yield from _subjects(binding, ("system:authenticated",))


@rule(
    id="no-authenticated-takeover",
    title="Everybody who is logged in reaches neither pods nor Secrets",
    severity="error",
    rationale="Any account of the cluster or its cloud could take it over from there.",
    references=[GOOD_PRACTICES],
    kinds=BINDINGS,
    known_as="kubescape:C-0265",
    by_name_only=True,
)
def no_authenticated_takeover(binding: Resource, world: World) -> Iterator[Problem]:
    """No binding joins system:authenticated and a Role about pods, nodes, workloads or Secrets."""
    role = bound_role(binding, world.index)
    if role is None or not any(_TAKEOVER.allowed_by(item) for item in rules_of(role, world.index)):
        return
    yield from _subjects(binding, ("system:authenticated",))


def _subjects(binding: Resource, names: tuple[str, ...]) -> Iterator[Problem]:
    for i, subject in entries(binding.content, "subjects"):
        if subject.get("kind") != "ServiceAccount" and subject.get("name") in names:
            yield binding.problem(
                ("subjects", i, "name"),
                f"gives rights to {subject['name']}",
                "name the users, groups or ServiceAccounts that need them",
            )


@rule(
    id="role-binding-resolves",
    title="A binding joins a Role and ServiceAccounts that exist",
    severity="error",
    rationale="A binding to a missing Role grants nothing: the job fails at its first call.",
    references=[_ROLES],
    kinds=BINDINGS,
    known_as="polaris:rolebindingClusterAdminRole polaris:rolebindingRolePodExecAttach",
    needs_whole=True,
)
def role_binding_resolves(binding: Resource, world: World) -> Iterator[Problem]:
    """A namespaced Role and the ServiceAccounts of the own namespace are in the build.

    The Roles that the API server makes itself, in kube-system and kube-public, are everywhere.
    """
    reference = mapping(binding.content, "roleRef")
    name = text(reference, "name")
    role = world.index.get(f"{RBAC}/Role", binding.namespace, name)
    if reference.get("kind") == "Role" and role is None and not _of_the_cluster(binding, name):
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


def _of_the_cluster(binding: Resource, name: str) -> bool:
    own = name.startswith("system:") or name == "extension-apiserver-authentication-reader"
    return own and binding.namespace in ("kube-system", "kube-public")
