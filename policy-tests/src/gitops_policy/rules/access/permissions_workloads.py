"""RBAC: Secrets, the creation of pods, and ways into running pods."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, sequence
from gitops_policy.kubernetes.permissions import (
    CHANGES,
    EXEC,
    GOOD_PRACTICES,
    POD_CREATION,
    ROLES,
    SECRET_READS,
    Access,
    built_in,
    grants,
    narrowed,
    of_the_system,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule

_WORKLOADS = GOOD_PRACTICES + "#workload-creation"
_SECRETS = Access(("",), ("secrets",), ("get", "list", "watch", *CHANGES))
_WORKLOAD_CHANGES = Access(
    ("", "apps", "batch"),
    (
        "pods",
        "replicationcontrollers",
        "deployments",
        "daemonsets",
        "replicasets",
        "statefulsets",
        "jobs",
        "cronjobs",
    ),
    CHANGES,
)
# The API server upgrades a GET to a stream as well as a POST.
_PORT_FORWARD = Access(("",), ("pods/portforward",), ("create", "get"))
_NODE_PROXY = Access(("",), ("nodes/proxy",), ("create", "get"))


@rule(
    id="no-secret-access",
    title="Roles do not read Secrets",
    severity="error",
    rationale=(
        "Who may list the Secrets of a namespace has them all; who may get one needs its name."
    ),
    references=[GOOD_PRACTICES + "#listing-secrets"],
    kinds=ROLES,
    known_as=("kubescape:C-0015 kubescape:C-0186 trivy:KSV-0041 trivy:KSV-0113 cis:5.1.2"),
)
def no_secret_access(role: Resource) -> Iterator[Problem]:
    """No list or watch of Secrets; get, update and delete only with resourceNames."""
    for i, item in entries(role.content, "rules"):
        if not _SECRETS.allowed_by(item):
            continue
        verbs = {str(verb) for verb in sequence(item, "verbs")}
        if {"list", "watch", "deletecollection", "*"} & verbs:
            yield role.problem(
                ("rules", i), "it may list every Secret", "grant get with resourceNames"
            )
        elif not narrowed(item) and verbs - {"create"}:
            yield role.problem(("rules", i), "it may read any Secret", "add resourceNames")


@rule(
    id="no-secret-reads",
    title="Roles read no Secrets at all, named ones neither",
    severity="info",
    rationale="Stricter than no-secret-access; writing is left to it.",
    references=[GOOD_PRACTICES + "#listing-secrets"],
    kinds=ROLES,
    known_as="datree:96 kyverno:restrict-secret-role-verbs",
    default=False,
)
def no_secret_reads(role: Resource) -> Iterator[Problem]:
    """No rule allows get, list or watch of Secrets."""
    fix = "mount the Secret instead"
    yield from grants(role, SECRET_READS, "read Secrets", fix, named=True)


@rule(
    id="no-pod-creation",
    title="Roles do not create pods",
    severity="warning",
    rationale="A pod can mount every Secret and act as every ServiceAccount of its namespace.",
    references=[_WORKLOADS],
    kinds=ROLES,
    known_as="kubescape:C-0188 datree:101 cis:5.1.4",
)
def no_pod_creation(role: Resource) -> Iterator[Problem]:
    """No rule allows to create pods; names cannot narrow a creation."""
    fix = "create workloads from Git only"
    yield from grants(role, POD_CREATION, "create pods", fix, named=True)


@rule(
    id="no-workload-changes",
    title="Roles do not change workloads",
    severity="warning",
    rationale="Who writes a pod template runs pods; what runs is no longer what Git says.",
    references=[_WORKLOADS],
    kinds=ROLES,
    known_as="trivy:KSV-0048 cis:5.1.4",
    default=False,
)
def no_workload_changes(role: Resource) -> Iterator[Problem]:
    """No rule allows to write pods or what makes them."""
    yield from grants(role, _WORKLOAD_CHANGES, "change workloads", "let Git change them")


@rule(
    id="no-pod-exec",
    title="Roles open no shell in pods",
    severity="error",
    rationale="A shell in a pod has its files, its network and its ServiceAccount's token.",
    references=[GOOD_PRACTICES],
    kinds=ROLES,
    known_as=(
        "polaris:clusterrolePodExecAttach polaris:rolePodExecAttach "
        "kubescape:C-0002 trivy:KSV-0053 trivy:KSV-0054 datree:48"
    ),
)
def no_pod_exec(role: Resource) -> Iterator[Problem]:
    """No rule allows pods/exec or pods/attach; Kubernetes' own ClusterRoles are let off."""
    if not built_in(role):
        yield from grants(role, EXEC, "open a shell in pods", "use ephemeral access")


@rule(
    id="no-pod-port-forward",
    title="Roles forward no ports of pods",
    severity="error",
    rationale="A forwarded port goes around Services and NetworkPolicies.",
    references=[
        "https://kubernetes.io/docs/tasks/access-application-cluster/port-forward-access-application-cluster/"
    ],
    kinds=ROLES,
    known_as="kubescape:C-0063",
)
def no_pod_port_forward(role: Resource) -> Iterator[Problem]:
    """No rule allows pods/portforward."""
    if not of_the_system(role):
        yield from grants(role, _PORT_FORWARD, "forward ports of pods", "remove pods/portforward")


@rule(
    id="no-node-proxy",
    title="Roles reach no kubelet through the API server",
    severity="error",
    rationale="The kubelet's API runs commands in every pod of its node and writes no audit log.",
    references=[GOOD_PRACTICES + "#access-to-proxy-subresource-of-nodes"],
    kinds=ROLES,
    known_as=("kubescape:C-0279 trivy:KSV-0047 kyverno:restrict-clusterrole-nodesproxy cis:5.1.10"),
)
def no_node_proxy(role: Resource) -> Iterator[Problem]:
    """No rule allows nodes/proxy."""
    if not of_the_system(role):
        yield from grants(role, _NODE_PROXY, "call the kubelet", "use nodes/metrics or nodes/stats")
