"""Who a pod is and where it may run: service accounts, tokens, the control plane."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, mapping, text
from gitops_policy.kinds import POD_TEMPLATES
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod, pods
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World

_ACCOUNTS = "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/"
_BINDINGS = (
    "rbac.authorization.k8s.io/RoleBinding",
    "rbac.authorization.k8s.io/ClusterRoleBinding",
)
_CONTROL_PLANE = ("node-role.kubernetes.io/control-plane", "node-role.kubernetes.io/master")


def service_account(pod: Pod) -> str:
    """Return the name of the account a pod runs as."""
    return text(pod.spec, "serviceAccountName") or text(pod.spec, "serviceAccount") or "default"


@rule(
    id="automount-service-account-token",
    title="A pod that does not use the API carries no token for it",
    severity="error",
    rationale="A token in every pod gives whoever gets in the rights of its account.",
    references=[_ACCOUNTS],
    kinds=PODS,
    known_as=(
        "polaris:automountServiceAccountToken checkov:CKV_K8S_38 kubescape:C-0034 "
        "kubescape:C-0190 kubescape:C-0261 trivy:KSV-0036 datree:53 "
        "kyverno:restrict-automount-sa-token gatekeeper:automount-serviceaccount-token "
        "cis:5.1.6 nsa"
    ),
)
def automount_service_account_token(pod: Pod, world: World) -> Iterator[Problem]:
    """The pod or its account refuses the token, unless a binding gives the account rights."""
    own = pod.spec.get("automountServiceAccountToken")
    name, namespace = service_account(pod), pod.resource.namespace
    account = world.index.get("ServiceAccount", namespace, name)
    inherited = account.content.get("automountServiceAccountToken") if account else None
    if own is False or (own is None and inherited is False) or _is_bound(name, namespace, world):
        return
    yield pod.problem(
        ("automountServiceAccountToken",),
        f"mounts the token of service account {name!r}, to which no binding gives rights",
        "set automountServiceAccountToken: false",
    )


def _is_bound(name: str, namespace: str, world: World) -> bool:
    return any(
        subject.get("kind") == "ServiceAccount"
        and subject.get("name") == name
        and (subject.get("namespace") or binding.namespace) == namespace
        for binding in world.index.of_kind(*_BINDINGS)
        for _, subject in entries(binding.content, "subjects")
    )


@rule(
    id="dedicated-service-account",
    title="Pods and bindings use a service account of their own, not default",
    severity="warning",
    rationale="Rights given to `default` reach every pod of the namespace.",
    references=[_ACCOUNTS],
    kinds=[*POD_TEMPLATES, *_BINDINGS],
    known_as=(
        "kube-linter:default-service-account checkov:CKV_K8S_41 checkov:CKV_K8S_42 "
        "kubescape:C-0189 datree:102 cis:5.1.5"
    ),
)
def dedicated_service_account(resource: Resource) -> Iterator[Problem]:
    """No pod runs as `default` and no binding names it."""
    for pod in pods(resource):
        if service_account(pod) == "default":
            yield pod.problem(
                ("serviceAccountName",),
                "runs as the service account `default`",
                "create a ServiceAccount for this workload and name it",
            )
    for i, subject in entries(resource.content, "subjects"):
        if subject.get("kind") == "ServiceAccount" and subject.get("name") == "default":
            yield resource.problem(
                ("subjects", i, "name"),
                "gives rights to the service account `default`",
                "bind a dedicated ServiceAccount",
            )


@rule(
    id="deprecated-service-account-field",
    title="The deprecated field serviceAccount is not used",
    severity="warning",
    rationale="It is an alias of serviceAccountName that tools overlook.",
    references=[_ACCOUNTS],
    kinds=PODS,
    known_as="kube-linter:deprecated-service-account-field kubescape:C-0294",
)
def deprecated_service_account_field(pod: Pod) -> Iterator[Problem]:
    """`serviceAccount` is absent."""
    if pod.spec.get("serviceAccount") is not None:
        yield pod.problem(
            ("serviceAccount",), "uses the deprecated field", "use serviceAccountName"
        )


@rule(
    id="control-plane-scheduling",
    title="Workloads stay off the control plane",
    severity="warning",
    rationale="A pod beside the API server and etcd shares their kernel and their resources.",
    references=["https://kubernetes.io/docs/concepts/scheduling-eviction/taint-and-toleration/"],
    kinds=PODS,
    known_as="kyverno:other/restrict-controlplane-scheduling",
)
def control_plane_scheduling(pod: Pod) -> Iterator[Problem]:
    """No toleration, node selector or node affinity leads to control-plane nodes."""
    fix = "remove it, or exempt the workload with a reason"
    for i, toleration in entries(pod.spec, "tolerations"):
        key, effect = toleration.get("key"), toleration.get("effect")
        everything = not key and toleration.get("operator") == "Exists"
        if key in _CONTROL_PLANE or (everything and effect in (None, "", "NoSchedule")):
            yield pod.problem(("tolerations", i), "tolerates the control plane's taint", fix)
    for key in mapping(pod.spec, "nodeSelector"):
        if key in _CONTROL_PLANE:
            yield pod.problem(("nodeSelector", key), "selects control-plane nodes", fix)
    for path, expression in _node_expressions(pod):
        if expression.get("key") in _CONTROL_PLANE and expression.get("operator") in (
            "In",
            "Exists",
        ):
            yield pod.problem(path, "prefers or requires control-plane nodes", fix)


def _node_expressions(pod: Pod) -> Iterator[tuple[Path, dict[str, object]]]:
    where: Path = ("affinity", "nodeAffinity")
    required = (*where, "requiredDuringSchedulingIgnoredDuringExecution", "nodeSelectorTerms")
    preferred = (*where, "preferredDuringSchedulingIgnoredDuringExecution")
    for i, term in entries(pod.spec, *required):
        for j, expression in entries(term, "matchExpressions"):
            yield (*required, i, "matchExpressions", j), expression
    for i, term in entries(pod.spec, *preferred):
        for j, expression in entries(term, "preference", "matchExpressions"):
            yield (*preferred, i, "preference", "matchExpressions", j), expression
