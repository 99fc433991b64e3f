"""RBAC: rights that lead traffic astray, take workloads away or remove traces."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import entries, sequence
from gitops_policy.kubernetes.permissions import (
    CHANGES,
    GOOD_PRACTICES,
    RBAC,
    ROLES,
    SERVICE_STATUS,
    Access,
    grants,
    of_the_system,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_WRITES = ("create", "update", "patch")
_DELETES = ("delete", "deletecollection")
_ENDPOINTS = Access(
    ("", "discovery.k8s.io"), ("endpoints", "endpointslices"), (*_WRITES, *_DELETES)
)
_NETWORK = Access(
    ("", "discovery.k8s.io", "networking.k8s.io"),
    ("services", "endpoints", "endpointslices", "networkpolicies", "ingresses"),
    CHANGES,
)
_EVENTS = Access(("", "events.k8s.io"), ("events",), _DELETES)
_LOGS = Access(("",), ("pods/log",), _DELETES)
_CONFIG_MAPS = Access(("",), ("configmaps",), CHANGES)
# Who writes them decides for the whole cluster where names lead and who may log in.
_CLUSTER_CONFIG_MAPS = frozenset({"aws-auth", "coredns"})
_COLLECTIONS = Access(
    ("", "apps"),
    ("secrets", "configmaps", "namespaces", "pods", "deployments"),
    ("deletecollection",),
)
_DELETION = Access(
    ("", "apps", "batch"),
    (
        "secrets",
        "pods",
        "services",
        "deployments",
        "replicasets",
        "daemonsets",
        "statefulsets",
        "jobs",
        "cronjobs",
    ),
    _DELETES,
)
_SENSITIVE = Access(
    ("", RBAC),
    ("secrets", "roles", "rolebindings", "clusterroles", "clusterrolebindings", "pods/exec"),
    ("get", "list", "watch", "bind", "escalate", *CHANGES),
)
_AGGREGATES = "rbac.authorization.k8s.io/aggregate-to-"


@rule(
    id="no-service-status-changes",
    title="Roles do not write the status of Services",
    severity="warning",
    rationale="A Service with a forged load balancer address catches the cluster's traffic to it.",
    references=["https://github.com/kubernetes/kubernetes/issues/97076"],
    kinds=ROLES,
)
def no_service_status_changes(role: Resource) -> Iterator[Problem]:
    """No rule allows to update services/status."""
    if not of_the_system(role):
        yield from grants(
            role, SERVICE_STATUS, "forge addresses of Services", "remove services/status"
        )


@rule(
    id="no-endpoint-changes",
    title="Roles do not write endpoints",
    severity="warning",
    rationale="Endpoints may lead a Service or an Ingress to pods of other namespaces.",
    references=["https://github.com/kubernetes/kubernetes/issues/103675"],
    kinds=ROLES,
    known_as="gatekeeper:block-endpoint-edit-default-role kyverno:restrict-edit-for-endpoints",
)
def no_endpoint_changes(role: Resource) -> Iterator[Problem]:
    """No rule allows to write Endpoints and EndpointSlices."""
    if not of_the_system(role) or role.name == "system:aggregate-to-edit":
        yield from grants(role, _ENDPOINTS, "lead Services elsewhere", "select pods by labels")


@rule(
    id="no-network-changes",
    title="Roles do not change Services, Ingresses and NetworkPolicies",
    severity="warning",
    rationale="They decide who reaches whom; what holds is no longer what Git says.",
    references=[GOOD_PRACTICES],
    kinds=ROLES,
    known_as="trivy:KSV-0056",
    default=False,
)
def no_network_changes(role: Resource) -> Iterator[Problem]:
    """No rule allows to write objects of the network."""
    yield from grants(role, _NETWORK, "change the network", "let Git change it")


@rule(
    id="no-event-deletion",
    title="Roles delete no events",
    severity="warning",
    rationale="Events are the trace that an intruder removes.",
    references=["https://attack.mitre.org/techniques/T1070/"],
    kinds=ROLES,
    known_as="kubescape:C-0031",
)
def no_event_deletion(role: Resource) -> Iterator[Problem]:
    """No rule allows to delete Events."""
    if not of_the_system(role):
        yield from grants(role, _EVENTS, "delete events", "remove the verb: events expire")


@rule(
    id="no-log-deletion",
    title="Roles delete no logs",
    severity="warning",
    rationale="Logs are the trace that an intruder removes.",
    references=["https://attack.mitre.org/techniques/T1070/"],
    kinds=ROLES,
    known_as="trivy:KSV-0042",
)
def no_log_deletion(role: Resource) -> Iterator[Problem]:
    """No rule allows to delete pods/log."""
    for i, item in entries(role.content, "rules"):
        if "pods/log" in sequence(item, "resources") and _LOGS.allowed_by(item):
            yield role.problem(("rules", i), "it may delete logs", "remove the verb")


@rule(
    id="no-config-map-changes",
    title="Roles do not change ConfigMaps at will",
    severity="warning",
    rationale="In kube-system ConfigMaps hold the cluster's DNS and, on some clouds, its users.",
    references=[GOOD_PRACTICES],
    kinds=ROLES,
    known_as="kubescape:C-0037 trivy:KSV-0049",
    default=False,
)
def no_config_map_changes(role: Resource) -> Iterator[Problem]:
    """A rule to write ConfigMaps names them."""
    yield from grants(role, _CONFIG_MAPS, "change any ConfigMap", "add resourceNames")


@rule(
    id="no-cluster-config-changes",
    title="Roles do not change the ConfigMaps of CoreDNS and of EKS logins",
    severity="warning",
    rationale="Who writes them leads names of the cluster elsewhere, or becomes an administrator.",
    references=["https://kubernetes.io/docs/tasks/administer-cluster/dns-custom-nameservers/"],
    kinds=ROLES,
    known_as="kubescape:C-0037 trivy:KSV-0115",
)
def no_cluster_config_changes(role: Resource) -> Iterator[Problem]:
    """No rule to write ConfigMaps names coredns or aws-auth."""
    for i, item in entries(role.content, "rules"):
        named = _CLUSTER_CONFIG_MAPS & {str(name) for name in sequence(item, "resourceNames")}
        if named and _CONFIG_MAPS.allowed_by(item):
            yield role.problem(("rules", i), f"it may change {min(named)}", "remove the name")


@rule(
    id="no-workload-deletion",
    title="Roles do not delete workloads at will",
    severity="warning",
    rationale="A deletion is an outage until somebody syncs, and data that is gone stays gone.",
    references=[GOOD_PRACTICES],
    kinds=ROLES,
    known_as="kubescape:C-0007",
    default=False,
)
def no_workload_deletion(role: Resource) -> Iterator[Problem]:
    """A rule to delete workloads, Services and Secrets names them."""
    yield from grants(role, _DELETION, "delete workloads", "add resourceNames, or prune from Git")


@rule(
    id="no-collection-deletion",
    title="Roles do not delete whole collections",
    severity="info",
    rationale="One request with deletecollection takes every object of the kind away.",
    references=["https://kubernetes.io/docs/reference/using-api/api-concepts/#collection-delete"],
    kinds=ROLES,
    known_as="kube-linter:deletecollection-verb-in-role",
    default=False,
)
def no_collection_deletion(role: Resource) -> Iterator[Problem]:
    """No rule lists `deletecollection` for Secrets, ConfigMaps, workloads or namespaces."""
    for i, item in entries(role.content, "rules"):
        if "deletecollection" in sequence(item, "verbs") and _COLLECTIONS.allowed_by(item):
            yield role.problem(
                ("rules", i), "it may delete whole collections", "grant delete instead"
            )


@rule(
    id="no-aggregation-to-defaults",
    title="No ClusterRole widens admin, edit or view",
    severity="warning",
    rationale="Everybody who has the default ClusterRole in any namespace gets these rights too.",
    references=[
        "https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles"
    ],
    kinds=[f"{RBAC}/ClusterRole"],
    known_as="kube-linter:aggregate-to-admin-escalation",
)
def no_aggregation_to_defaults(role: Resource) -> Iterator[Problem]:
    """A ClusterRole with wildcards, Secrets or Roles carries no label `aggregate-to-*`."""
    if of_the_system(role):
        return
    wide = any(_wide(item) for _, item in entries(role.content, "rules"))
    for key, value in role.labels.items():
        if str(key).startswith(_AGGREGATES) and value == "true" and wide:
            yield role.problem(
                ("metadata", "labels", key),
                f"gives these rights to everybody with {str(key).removeprefix(_AGGREGATES)}",
                "bind the ClusterRole where it is needed, or list narrow rules",
            )


def _wide(item: dict[str, Any]) -> bool:
    wildcard = any("*" in map(str, sequence(item, name)) for name in ("verbs", "resources"))
    return wildcard or _SENSITIVE.allowed_by(item)
