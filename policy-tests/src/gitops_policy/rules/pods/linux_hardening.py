"""What other tools demand of capabilities, seccomp, AppArmor and SELinux, in part or stricter."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import quoted, sequence
from gitops_policy.kubernetes.pod_standards import APPARMOR
from gitops_policy.model import Problem
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, rule

_CONTEXT = "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/"
_SECCOMP = "https://kubernetes.io/docs/reference/node/seccomp/"
_KERNEL = "https://kubernetes.io/docs/concepts/security/linux-kernel-security-constraints/"


@rule(
    id="added-capabilities",
    title="No capability is added",
    severity="info",
    rationale="Stricter than the Pod Security Standards, which allow NET_BIND_SERVICE.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as="checkov:CKV_K8S_25 trivy:KSV-0022",
    default=False,
)
def added_capabilities(container: Container) -> Iterator[Problem]:
    """`capabilities.add` is empty."""
    if added := sequence(container.security_context, "capabilities", "add"):
        yield container.problem(
            ("securityContext", "capabilities", "add"),
            f"adds {', '.join(map(str, added))}",
            "remove capabilities.add",
        )


@rule(
    id="added-net-raw",
    title="NET_RAW is not added",
    severity="error",
    rationale="With NET_RAW a container can forge packets of other pods.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as="kube-linter:drop-net-raw-capability trivy:KSV-0119",
    by_name_only=True,
)
def added_net_raw(container: Container) -> Iterator[Problem]:
    """`capabilities.add` holds neither NET_RAW nor ALL."""
    for i, name in enumerate(sequence(container.security_context, "capabilities", "add")):
        if str(name).upper().removeprefix("CAP_") in ("NET_RAW", "ALL"):
            yield container.problem(
                ("securityContext", "capabilities", "add", i), f"adds {name}", "remove it"
            )


@rule(
    id="seccomp-runtime-default",
    title="The seccomp profile is the runtime's own",
    severity="info",
    rationale="Stricter than the Pod Security Standards: a profile on the node may be anything.",
    references=[_SECCOMP],
    kinds=CONTAINERS,
    known_as="checkov:CKV_K8S_31 kubescape:C-0210 trivy:KSV-0030 datree:99",
    default=False,
)
def seccomp_runtime_default(container: Container) -> Iterator[Problem]:
    """The type of the profile that holds for the container is RuntimeDefault."""
    kind = container.inherited("seccompProfile", "type")
    if not container.pod.windows and kind != "RuntimeDefault":
        yield container.problem(
            ("securityContext", "seccompProfile", "type"),
            f"the seccomp profile is {quoted(kind)}",
            "set seccompProfile: {type: RuntimeDefault} in the pod's securityContext",
        )


@rule(
    id="seccomp-enabled",
    title="Seccomp is on in every container",
    severity="error",
    rationale="Without a profile most clusters run containers unconfined.",
    references=[_SECCOMP],
    kinds=CONTAINERS,
    known_as="trivy:KSV-0104",
    by_name_only=True,
)
def seccomp_enabled(container: Container) -> Iterator[Problem]:
    """The profile that holds for the container, its own or the pod's, is not Unconfined."""
    kind = container.inherited("seccompProfile", "type")
    if not container.pod.windows and kind in (None, "", "Unconfined"):
        yield container.problem(
            ("securityContext", "seccompProfile", "type"),
            f"the seccomp profile is {quoted(kind)}",
            "set seccompProfile: {type: RuntimeDefault} in the pod's securityContext",
        )


@rule(
    id="linux-hardening",
    title="At least one of seccomp, AppArmor, SELinux and dropped capabilities is used",
    severity="warning",
    rationale="A container with none of them has the whole kernel before it.",
    references=[_KERNEL],
    kinds=CONTAINERS,
    known_as="polaris:linuxHardening kubescape:C-0055",
    by_name_only=True,
)
def linux_hardening(container: Container) -> Iterator[Problem]:
    """One of the four is set on the container or its pod, and not switched off."""
    if container.pod.windows or any(_hardenings(container)):
        return
    yield container.problem(
        ("securityContext",),
        "has no seccomp profile, AppArmor profile, SELinux options or dropped capabilities",
        "set seccompProfile: {type: RuntimeDefault} and drop ALL capabilities",
    )


def _hardenings(container: Container) -> Iterator[bool]:
    annotation = container.pod.annotations.get(APPARMOR + container.name)
    added = {
        str(name).upper() for name in sequence(container.security_context, "capabilities", "add")
    }
    dropped = sequence(container.security_context, "capabilities", "drop")
    yield container.inherited("seccompProfile", "type") not in (None, "", "Unconfined")
    yield container.inherited("appArmorProfile", "type") not in (None, "", "Unconfined")
    yield annotation not in (None, "unconfined")
    yield bool(container.inherited("seLinuxOptions"))
    yield bool(dropped) and "ALL" not in added
