"""What Roles allow, and which Role a binding gives to whom."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gitops_policy.fields import entries, mapping, sequence, text
from gitops_policy.kubernetes.selectors import matches
from gitops_policy.model import Index, Problem, Resource
from gitops_policy.world import World, once

RBAC = "rbac.authorization.k8s.io"
ROLES = (f"{RBAC}/Role", f"{RBAC}/ClusterRole")
BINDINGS = (f"{RBAC}/RoleBinding", f"{RBAC}/ClusterRoleBinding")
GOOD_PRACTICES = "https://kubernetes.io/docs/concepts/security/rbac-good-practices/"

CHANGES = ("create", "update", "patch", "delete", "deletecollection", "impersonate")
_ALL_VERBS = {"get", "list", "watch", "create", "update", "patch", "delete"}
_DEFAULTS = ("admin", "cluster-admin", "edit", "view")
_GKE_CALICO = "gce:podsecuritypolicy:calico-sa"
# The bindings to groups that every API server makes.
_DEFAULT_BINDINGS = (
    "cluster-admin",
    "system:basic-user",
    "system:discovery",
    "system:public-info-viewer",
)


@dataclass(frozen=True, slots=True)
class Access:
    """Verbs on resources of API groups; a rule of a Role may allow one of them."""

    groups: tuple[str, ...]
    resources: tuple[str, ...]
    verbs: tuple[str, ...]

    def allowed_by(self, rule: dict[str, Any]) -> bool:
        """Say whether a rule of a Role allows any of the verbs on any of the resources."""
        resources = {r for r in _strings(rule, "resources") if _covers(r, self.resources)}
        return (
            bool({"*", *self.verbs} & _strings(rule, "verbs"))
            and bool(resources)
            and self._in_groups(_strings(rule, "apiGroups"), resources)
        )

    def _in_groups(self, groups: set[str], resources: set[str]) -> bool:
        # No group is not valid, and the core group has no resources of these names: both are
        # judged by what they mean to allow.
        named = bool(resources & set(self.resources))
        return not groups or bool({"*", *self.groups} & groups) or (named and "" in groups)


# The API server upgrades a GET to a stream as well as a POST.
EXEC = Access(("",), ("pods/exec", "pods/attach"), ("create", "get"))
POD_CREATION = Access(("",), ("pods",), ("create",))
SECRET_READS = Access(("",), ("secrets",), ("get", "list", "watch"))
SERVICE_STATUS = Access(("",), ("services/status",), ("update", "patch"))


def _strings(rule: dict[str, Any], name: str) -> set[str]:
    return {item for item in sequence(rule, name) if isinstance(item, str)}


def _covers(given: str, wanted: tuple[str, ...]) -> bool:
    """Compare as Kubernetes does, and as `pods/*` is meant although it matches nothing there."""
    if given == "*" or given in wanted:
        return True
    resource, _, subresource = given.partition("/")
    return any(
        resource in ("*", name.partition("/")[0]) and subresource in ("*", name.partition("/")[2])
        for name in wanted
        if subresource and "/" in name and "*" in (resource, subresource)
    )


def narrowed(rule: dict[str, Any]) -> bool:
    """Say whether a rule is for named objects only."""
    names = sequence(rule, "resourceNames")
    return bool(names) and "*" not in names


def built_in(resource: Resource) -> bool:
    """Say whether a Role or binding is one that Kubernetes itself installs."""
    cluster_role = resource.kind == "ClusterRole" and resource.name in _DEFAULTS
    binding = resource.kind == "ClusterRoleBinding" and resource.name == "cluster-admin"
    return cluster_role or binding or of_the_system(resource)


def of_the_system(resource: Resource) -> bool:
    """Say whether a Role or binding has a name that Kubernetes, or GKE, keeps to itself."""
    return resource.name.startswith("system:") or resource.name == _GKE_CALICO


def default_binding(binding: Resource) -> bool:
    """Say whether a binding is one of those that every API server makes for groups."""
    return binding.kind == "ClusterRoleBinding" and binding.name in _DEFAULT_BINDINGS


def grants(
    role: Resource, access: Access, what: str, fix: str, *, named: bool = False
) -> Iterator[Problem]:
    """Yield a problem for each rule of a Role that allows the access.

    A rule for named objects is let off unless `named` is set.
    """
    for i, rule in entries(role.content, "rules"):
        if access.allowed_by(rule) and (named or not narrowed(rule)):
            yield role.problem(("rules", i), f"it may {what}", fix)


def bound_role(binding: Resource, index: Index) -> Resource | None:
    """Return the Role or ClusterRole of a binding; None where the build does not hold it."""
    reference = mapping(binding.content, "roleRef")
    kind, name = text(reference, "kind"), text(reference, "name")
    if kind == "Role" and binding.kind == "RoleBinding":
        return index.get(f"{RBAC}/Role", binding.namespace, name)
    return index.get(f"{RBAC}/ClusterRole", "", name) if kind == "ClusterRole" else None


def bindings_of(world: World, namespace: str, account: str) -> list[Resource]:
    """Return the bindings of the build that name a ServiceAccount of a namespace."""
    return _by_account(world).get((namespace, account), [])


@once
def _by_account(world: World) -> dict[tuple[str, str], list[Resource]]:
    found: dict[tuple[str, str], list[Resource]] = defaultdict(list)
    for binding in world.index.of_kind(*BINDINGS):
        for _, subject in entries(binding.content, "subjects"):
            if subject.get("kind") == "ServiceAccount":
                where = text(subject, "namespace") or binding.namespace
                found[(where, text(subject, "name"))].append(binding)
    return found


def rules_of(role: Resource, index: Index) -> list[dict[str, Any]]:
    """Return the rules of a Role, those that an aggregated ClusterRole collects included."""
    found = [rule for _, rule in entries(role.content, "rules")]
    for _, selector in entries(role.content, "aggregationRule", "clusterRoleSelectors"):
        for other in index.of_kind(f"{RBAC}/ClusterRole"):
            if other is not role and matches(selector, other.labels):
                found += [rule for _, rule in entries(other.content, "rules")]
    return found


def allows_everything(rule: dict[str, Any], groups: tuple[str, ...] = ("*",)) -> bool:
    """Say whether a rule allows all verbs on all resources of one of these groups."""
    verbs = _strings(rule, "verbs")
    return (
        bool(_strings(rule, "apiGroups") & set(groups))
        and "*" in _strings(rule, "resources")
        and ("*" in verbs or verbs >= _ALL_VERBS)
    )
