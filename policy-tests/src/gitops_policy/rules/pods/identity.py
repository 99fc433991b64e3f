"""Who a pod is: its service account and the token of it."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, field, text
from gitops_policy.kubernetes.permissions import (
    BINDINGS,
    GOOD_PRACTICES,
    allows_everything,
    bindings_of,
    bound_role,
    rules_of,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import BUILD, PODS, rule
from gitops_policy.world import World

_ACCOUNTS = "https://kubernetes.io/docs/tasks/configure-pod-container/configure-service-account/"
_DAY = 86400


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
        "polaris:automountServiceAccountToken kubescape:C-0034 kubescape:C-0190 "
        "gatekeeper:automount-serviceaccount-token cis:5.1.6 nsa"
    ),
)
def automount_service_account_token(pod: Pod, world: World) -> Iterator[Problem]:
    """The pod or its account refuses the token, unless a binding gives the account rights."""
    name, namespace = service_account(pod), pod.resource.namespace
    if not _mounts_token(pod, world) or bindings_of(world, namespace, name):
        return
    yield pod.problem(
        ("automountServiceAccountToken",),
        f"mounts the token of service account {name!r}, to which no binding gives rights",
        "set automountServiceAccountToken: false",
    )


@rule(
    id="pod-refuses-service-account-token",
    title="Pods say themselves that they carry no token",
    severity="info",
    rationale="Stricter: it holds whatever the ServiceAccount says, and for pods that use the API.",
    references=[_ACCOUNTS],
    kinds=PODS,
    known_as=(
        "kube-linter:automount-service-account-token checkov:CKV_K8S_38 trivy:KSV-0036 datree:53 "
        "kyverno:restrict-automount-sa-token"
    ),
    default=False,
)
def pod_refuses_service_account_token(pod: Pod) -> Iterator[Problem]:
    """`automountServiceAccountToken` of the pod is false."""
    if pod.spec.get("automountServiceAccountToken") is not False:
        yield pod.problem(
            ("automountServiceAccountToken",),
            "does not refuse the token",
            "set automountServiceAccountToken: false",
        )


@rule(
    id="projected-token-short-lived",
    title="Projected tokens end within a day",
    severity="info",
    rationale=(
        "The kubelet renews a token after 24 hours at the latest: a longer life serves only "
        "whoever stole one."
    ),
    references=[_ACCOUNTS + "#launch-a-pod-using-service-account-token-projection"],
    kinds=PODS,
    known_as="kube-linter:projected-token-long-expiration",
)
def projected_token_short_lived(pod: Pod) -> Iterator[Problem]:
    """`expirationSeconds` of a projected serviceAccountToken is at most 86400."""
    for i, volume in pod.volumes:
        for j, source in entries(volume, "projected", "sources"):
            seconds = field(source, "serviceAccountToken", "expirationSeconds")
            if isinstance(seconds, int) and seconds > _DAY:
                yield pod.problem(
                    ("volumes", i, "projected", "sources", j, "serviceAccountToken"),
                    f"the token lives {seconds} seconds",
                    f"set expirationSeconds to {_DAY} or less; 3600 is the default",
                )


@rule(
    id="bound-service-account-token",
    title="No pod carries the token of an account that has rights",
    severity="info",
    rationale="An inventory of the pods through which the API can be reached.",
    references=[_ACCOUNTS],
    kinds=PODS,
    known_as="kubescape:C-0261",
    by_name_only=True,
)
def bound_service_account_token(pod: Pod, world: World) -> Iterator[Problem]:
    """A pod whose account is in a binding of the build mounts no token."""
    name = service_account(pod)
    if _mounts_token(pod, world) and bindings_of(world, pod.resource.namespace, name):
        yield pod.problem(
            ("automountServiceAccountToken",),
            f"mounts the token of service account {name!r}, which has rights",
            "set automountServiceAccountToken: false, or keep it knowingly",
        )


@rule(
    id="administrator-token-mounted",
    title="No pod carries an administrator's token",
    severity="error",
    rationale="Whoever gets into the pod has the cluster.",
    references=[GOOD_PRACTICES],
    kinds=PODS,
    known_as="kubescape:C-0272",
    by_name_only=True,
)
def administrator_token_mounted(pod: Pod, world: World) -> Iterator[Problem]:
    """A pod whose account is bound to a Role that allows everything mounts no token."""
    name = service_account(pod)
    if not _mounts_token(pod, world):
        return
    for binding in bindings_of(world, pod.resource.namespace, name):
        role = bound_role(binding, world.index)
        if role and any(allows_everything(i, ("*", "")) for i in rules_of(role, world.index)):
            yield pod.problem(
                ("automountServiceAccountToken",),
                f"mounts the token of {name!r}, which the {role.kind} {role.name!r} lets do all",
                "bind a Role that lists what is needed",
            )
            return


def _mounts_token(pod: Pod, world: World) -> bool:
    own = pod.spec.get("automountServiceAccountToken")
    if own is not None:
        return own is not False
    name = service_account(pod)
    account = world.index.get("ServiceAccount", pod.resource.namespace, name)
    return account is None or account.content.get("automountServiceAccountToken") is not False


@rule(
    id="dedicated-service-account",
    title="Pods use a service account of their own, not default",
    severity="warning",
    rationale="Rights given to `default` reach every pod of the namespace.",
    references=[_ACCOUNTS],
    kinds=PODS,
    known_as="kube-linter:default-service-account cis:5.1.5",
)
def dedicated_service_account(pod: Pod) -> Iterator[Problem]:
    """No pod runs as `default`."""
    if service_account(pod) == "default":
        yield pod.problem(
            ("serviceAccountName",),
            "runs as the service account `default`",
            "create a ServiceAccount for this workload and name it",
        )


@rule(
    id="no-binding-to-default-account",
    title="No binding names a service account default",
    severity="warning",
    rationale="Every pod of the namespace that names no account of its own has these rights.",
    references=[_ACCOUNTS],
    kinds=BINDINGS,
    known_as="checkov:CKV_K8S_42 cis:5.1.5",
)
def no_binding_to_default_account(binding: Resource) -> Iterator[Problem]:
    """No subject is the ServiceAccount `default`."""
    for i, subject in entries(binding.content, "subjects"):
        if subject.get("kind") == "ServiceAccount" and subject.get("name") == "default":
            yield binding.problem(
                ("subjects", i, "name"),
                "gives rights to the service account `default`",
                "bind a dedicated ServiceAccount",
            )


@rule(
    id="default-service-account-token",
    title="A service account default refuses its token",
    severity="warning",
    rationale="Every pod of the namespace that names no account would carry it.",
    references=[_ACCOUNTS],
    kinds=["ServiceAccount"],
    known_as="checkov:CKV_K8S_41 kubescape:C-0189 datree:102 cis:5.1.5",
)
def default_service_account_token(account: Resource) -> Iterator[Problem]:
    """`automountServiceAccountToken` of a ServiceAccount named `default` is false."""
    if account.name == "default":
        yield from _account_mounts(account)


@rule(
    id="service-account-refuses-token",
    title="Service accounts refuse their tokens",
    severity="info",
    rationale="Stricter: a pod that uses the API then says so itself.",
    references=[_ACCOUNTS],
    kinds=["ServiceAccount"],
    known_as="kubescape:C-0034 kubescape:C-0190 datree:53 cis:5.1.6",
    default=False,
)
def service_account_refuses_token(account: Resource) -> Iterator[Problem]:
    """`automountServiceAccountToken` of every ServiceAccount is false."""
    yield from _account_mounts(account)


def _account_mounts(account: Resource) -> Iterator[Problem]:
    if account.content.get("automountServiceAccountToken") is not False:
        yield account.problem(
            ("automountServiceAccountToken",),
            "its token is mounted into every pod that does not refuse it",
            "set automountServiceAccountToken: false",
        )


@rule(
    id="namespace-has-service-account",
    title="A namespace has a service account besides default",
    severity="info",
    rationale="Without one, all its pods share the rights of `default`.",
    references=[_ACCOUNTS],
    kinds=BUILD,
    known_as="kubescape:C-0189",
    default=False,
)
def namespace_has_service_account(world: World) -> Iterator[Problem]:
    """The build holds a ServiceAccount of each of its namespaces, not called `default`."""
    accounts = world.index.of_kind("ServiceAccount")
    served = {account.namespace for account in accounts if account.name != "default"}
    for namespace in world.index.of_kind("Namespace"):
        if namespace.name not in served:
            yield namespace.problem(
                ("metadata", "name"),
                "has no ServiceAccount of its own",
                "add one for each workload",
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
