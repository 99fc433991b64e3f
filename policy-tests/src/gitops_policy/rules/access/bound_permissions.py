"""RBAC: what bindings of the build give, for who looks at bindings and not at Roles."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, text
from gitops_policy.kubernetes.permissions import (
    BINDINGS,
    EXEC,
    GOOD_PRACTICES,
    POD_CREATION,
    RBAC,
    SECRET_READS,
    SERVICE_STATUS,
    Access,
    bound_role,
    built_in,
    narrowed,
    rules_of,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_WHY = "The binding says who gets what its Role allows."
_MACHINES = ("ServiceAccount", "Node")
_STREAMS = Access(("",), ("pods/exec", "nodes/proxy"), ("create",))
_SECRETS = Access(("",), ("secrets",), ("get", "list", "watch", "create", "delete"))
_SECRET_USE = Access(
    ("",), ("secrets",), ("get", "list", "watch", "create", "update", "patch", "delete")
)
_BIND = Access((RBAC,), ("rolebindings", "clusterrolebindings"), ("bind",))
_IMPERSONATION = Access(("",), ("users", "groups", "serviceaccounts"), ("impersonate",))


def _gives(
    binding: Resource, world: World, access: Access, what: str, *, named: bool = False
) -> Iterator[Problem]:
    role = bound_role(binding, world.index)
    if role is None:
        return
    if any(
        access.allowed_by(item) and (named or not narrowed(item))
        for item in rules_of(role, world.index)
    ):
        yield binding.problem(
            ("roleRef", "name"),
            f"binds the {role.kind} {role.name!r}, which may {what}",
            "remove it from the Role, or bind a narrower one",
        )


def _shell(binding: Resource, world: World) -> Iterator[Problem]:
    if not built_in(binding):
        yield from _gives(binding, world, EXEC, "open a shell in pods")


def _refers_to(binding: Resource, kind: str) -> bool:
    return text(binding.content, "roleRef", "kind") == kind


def _to_machines(binding: Resource) -> bool:
    return any(s.get("kind") in _MACHINES for _, s in entries(binding.content, "subjects"))


@rule(
    id="no-binding-to-pod-exec",
    title="Nobody is bound to a ClusterRole that opens a shell in pods",
    severity="error",
    rationale=_WHY,
    references=[GOOD_PRACTICES],
    kinds=[f"{RBAC}/ClusterRoleBinding"],
    known_as="polaris:clusterrolebindingPodExecAttach",
    by_name_only=True,
)
def no_binding_to_pod_exec(binding: Resource, world: World) -> Iterator[Problem]:
    """A ClusterRoleBinding's ClusterRole allows neither pods/exec nor pods/attach."""
    if _refers_to(binding, "ClusterRole"):
        yield from _shell(binding, world)


@rule(
    id="no-namespaced-binding-to-pod-exec",
    title="Nobody is bound in a namespace to a ClusterRole that opens a shell in pods",
    severity="error",
    rationale=_WHY,
    references=[GOOD_PRACTICES],
    kinds=[f"{RBAC}/RoleBinding"],
    known_as="polaris:rolebindingClusterRolePodExecAttach",
    by_name_only=True,
)
def no_namespaced_binding_to_pod_exec(binding: Resource, world: World) -> Iterator[Problem]:
    """A RoleBinding's ClusterRole allows neither pods/exec nor pods/attach."""
    if _refers_to(binding, "ClusterRole"):
        yield from _shell(binding, world)


@rule(
    id="no-binding-to-pod-exec-role",
    title="Nobody is bound to a Role that opens a shell in pods",
    severity="error",
    rationale=_WHY,
    references=[GOOD_PRACTICES],
    kinds=[f"{RBAC}/RoleBinding"],
    known_as="polaris:rolebindingRolePodExecAttach",
    by_name_only=True,
)
def no_binding_to_pod_exec_role(binding: Resource, world: World) -> Iterator[Problem]:
    """A RoleBinding's Role allows neither pods/exec nor pods/attach."""
    if _refers_to(binding, "Role"):
        yield from _shell(binding, world)


@rule(
    id="no-binding-to-pod-creation",
    title="Nobody is bound to a Role that creates pods",
    severity="warning",
    rationale=_WHY,
    references=[GOOD_PRACTICES + "#workload-creation"],
    kinds=BINDINGS,
    known_as="kube-linter:access-to-create-pods",
    by_name_only=True,
)
def no_binding_to_pod_creation(binding: Resource, world: World) -> Iterator[Problem]:
    """The Role of the build that is bound does not create pods."""
    yield from _gives(binding, world, POD_CREATION, "create pods", named=True)


@rule(
    id="no-binding-to-secrets",
    title="Nobody is bound to a Role about Secrets",
    severity="error",
    rationale=_WHY,
    references=[GOOD_PRACTICES + "#listing-secrets"],
    kinds=BINDINGS,
    known_as="kube-linter:access-to-secrets",
    by_name_only=True,
)
def no_binding_to_secrets(binding: Resource, world: World) -> Iterator[Problem]:
    """The Role of the build that is bound neither reads, creates nor deletes Secrets."""
    yield from _gives(binding, world, _SECRETS, "use Secrets", named=True)


@rule(
    id="no-cluster-wide-binding-to-secrets",
    title="Nobody is bound to a Role about Secrets in all namespaces",
    severity="error",
    rationale="What the Role allows holds for the Secrets of every namespace, future ones too.",
    references=[GOOD_PRACTICES + "#listing-secrets"],
    kinds=[f"{RBAC}/ClusterRoleBinding"],
    known_as="kube-linter:cluster-wide-secrets-access",
    by_name_only=True,
)
def no_cluster_wide_binding_to_secrets(binding: Resource, world: World) -> Iterator[Problem]:
    """The ClusterRole of the build that a ClusterRoleBinding names gives nothing on Secrets."""
    yield from _gives(binding, world, _SECRET_USE, "use Secrets everywhere", named=True)


@rule(
    id="no-account-reads-secrets",
    title="No service account reads any Secret",
    severity="error",
    rationale="Whoever gets into a pod of the account has every Secret that it may read.",
    references=[GOOD_PRACTICES + "#listing-secrets"],
    kinds=BINDINGS,
    known_as="checkov:CKV2_K8S_5",
    by_name_only=True,
)
def no_account_reads_secrets(binding: Resource, world: World) -> Iterator[Problem]:
    """A binding of a ServiceAccount or node gives no reading of Secrets that are not named."""
    if _to_machines(binding):
        yield from _gives(binding, world, SECRET_READS, "read any Secret")


@rule(
    id="no-account-opens-streams",
    title="No service account opens shells in pods or calls kubelets",
    severity="error",
    rationale="Whoever gets into a pod of the account gets into all others.",
    references=[GOOD_PRACTICES],
    kinds=BINDINGS,
    known_as="checkov:CKV2_K8S_2",
    by_name_only=True,
)
def no_account_opens_streams(binding: Resource, world: World) -> Iterator[Problem]:
    """A binding of a ServiceAccount or node does not give create on pods/exec or nodes/proxy."""
    if _to_machines(binding):
        yield from _gives(binding, world, _STREAMS, "open a shell in pods or call the kubelet")


@rule(
    id="no-account-binds-roles",
    title="No service account binds Roles",
    severity="error",
    rationale="Whoever gets into a pod of the account makes itself an administrator.",
    references=[GOOD_PRACTICES + "#bind-verb"],
    kinds=BINDINGS,
    known_as="checkov:CKV2_K8S_1",
    by_name_only=True,
)
def no_account_binds_roles(binding: Resource, world: World) -> Iterator[Problem]:
    """A binding of a ServiceAccount or node does not give `bind`."""
    if _to_machines(binding):
        yield from _gives(binding, world, _BIND, "bind Roles")


@rule(
    id="no-account-impersonates",
    title="No service account acts as somebody else",
    severity="error",
    rationale="Whoever gets into a pod of the account is whoever it may name.",
    references=[GOOD_PRACTICES + "#impersonate-verb"],
    kinds=BINDINGS,
    known_as="checkov:CKV2_K8S_3",
    by_name_only=True,
)
def no_account_impersonates(binding: Resource, world: World) -> Iterator[Problem]:
    """A binding of a ServiceAccount or node does not give `impersonate`."""
    if _to_machines(binding):
        yield from _gives(binding, world, _IMPERSONATION, "act as somebody else")


@rule(
    id="no-account-writes-service-status",
    title="No service account writes the status of Services",
    severity="warning",
    rationale="A Service with a forged load balancer address catches the cluster's traffic to it.",
    references=["https://github.com/kubernetes/kubernetes/issues/97076"],
    kinds=BINDINGS,
    known_as="checkov:CKV2_K8S_4",
    by_name_only=True,
)
def no_account_writes_service_status(binding: Resource, world: World) -> Iterator[Problem]:
    """A binding of a ServiceAccount or node does not give the change of services/status."""
    if _to_machines(binding):
        yield from _gives(binding, world, SERVICE_STATUS, "forge addresses of Services")
