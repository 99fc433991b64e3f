"""Which users and groups containers run as."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import quoted, sequence
from gitops_policy.model import Problem
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule

_CONTEXT = "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/"
_LOWEST_ID = 10_000
_FIRST_OF_PEOPLE = 1_000


@rule(
    id="may-run-as-root",
    title="Something keeps containers from running as root",
    severity="error",
    rationale="A container that names neither runAsNonRoot nor a user runs as its image says.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:run-as-non-root polaris:runAsRootAllowed checkov:CKV_K8S_23 kubescape:C-0013"
    ),
    by_name_only=True,
)
def may_run_as_root(container: Container) -> Iterator[Problem]:
    """`runAsUser` is above 0, or unset and `runAsNonRoot` true, after inheritance."""
    user = container.inherited("runAsUser")
    refused = container.inherited("runAsNonRoot") is True
    if _is_zero(user) or not (refused or _is_id(user)):
        yield container.problem(
            ("securityContext", "runAsNonRoot"),
            "may run as root: neither runAsNonRoot nor runAsUser refuses it",
            "set runAsNonRoot: true",
        )


@rule(
    id="high-user-id",
    title="User ids are 10000 or above",
    severity="info",
    rationale="A low id may be a user of the node. Contested: user namespaces do it better.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-security-context-user-group-id checkov:CKV_K8S_40 trivy:KSV-0020"
    ),
)
def high_user_id(container: Container) -> Iterator[Problem]:
    """`runAsUser` is at least 10000 after inheritance."""
    yield from _high(container, "runAsUser")


@rule(
    id="high-group-id",
    title="Group ids are 10000 or above",
    severity="info",
    rationale="A low id may be a group of the node. Contested: user namespaces do it better.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as=("kube-score:container-security-context-user-group-id trivy:KSV-0021"),
)
def high_group_id(container: Container) -> Iterator[Problem]:
    """`runAsGroup` is at least 10000 after inheritance."""
    yield from _high(container, "runAsGroup")


@rule(
    id="low-user-id",
    title="No user id below 10000 is set",
    severity="info",
    rationale="Laxer than high-user-id: who names no user is let off.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as="datree:29",
    by_name_only=True,
)
def low_user_id(container: Container) -> Iterator[Problem]:
    """`runAsUser`, where it is set, is at least 10000 after inheritance."""
    if container.inherited("runAsUser") is not None:
        yield from _high(container, "runAsUser")


@rule(
    id="low-group-id",
    title="No group id below 1000 is set",
    severity="info",
    rationale="Laxer than high-group-id: the groups below 1000 are those of the system.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as="datree:51",
    by_name_only=True,
)
def low_group_id(container: Container) -> Iterator[Problem]:
    """`runAsGroup`, where it is set, is at least 1000 after inheritance."""
    if container.inherited("runAsGroup") is not None:
        yield from _high(container, "runAsGroup", _FIRST_OF_PEOPLE)


def _high(container: Container, key: str, lowest: int = _LOWEST_ID) -> Iterator[Problem]:
    if container.pod.windows or container.pod.spec.get("hostUsers") is False:
        return
    value = container.inherited(key)
    if not isinstance(value, int) or value < lowest:
        yield container.problem(
            ("securityContext", key), f"{key} is {quoted(value)}", f"set {key} to {lowest} or above"
        )


@rule(
    id="root-group",
    title="No group is 0",
    severity="warning",
    rationale="Files of group root are writable for many images' processes.",
    references=[_CONTEXT],
    kinds=PODS,
    known_as=(
        "kube-linter:run-as-non-root trivy:KSV-0116 kubescape:set-supplementalgroups-values "
        "kubescape:set-fsgroup-value kyverno:require-non-root-groups gatekeeper:fsgroup"
    ),
)
def root_group(pod: Pod) -> Iterator[Problem]:
    """`runAsGroup`, `fsGroup` and `supplementalGroups` hold no 0."""
    context = pod.security_context
    for key in ("runAsGroup", "fsGroup"):
        if _is_zero(context.get(key)):
            yield pod.problem(("securityContext", key), f"{key} is 0", "use a group above 10000")
    for i, group in enumerate(sequence(context, "supplementalGroups")):
        if _is_zero(group):
            yield pod.problem(
                ("securityContext", "supplementalGroups", i),
                "a supplementary group is 0",
                "remove it",
            )
    for container in pod.containers:
        if _is_zero(container.security_context.get("runAsGroup")):
            yield container.problem(
                ("securityContext", "runAsGroup"), "runAsGroup is 0", "use a group above 10000"
            )


@rule(
    id="named-group",
    title="Containers name the group they run as",
    severity="info",
    rationale="Who names none runs as the group of its image's user, often 0.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as="kyverno:require-non-root-groups",
    default=False,
)
def named_group(container: Container) -> Iterator[Problem]:
    """`runAsGroup` is set after inheritance; Windows has no groups."""
    if not container.pod.windows and container.inherited("runAsGroup") is None:
        yield container.problem(
            ("securityContext", "runAsGroup"), "names no group", "set runAsGroup"
        )


def _is_zero(value: object) -> bool:
    return value == 0 and value is not False


def _is_id(value: object) -> bool:
    return isinstance(value, int) and value > 0 and value is not True
