"""Pod Security Standards, level restricted, as the admission library judges them."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import field, sequence
from gitops_policy.kubernetes.pod_standards import RESTRICTED, contexts, in_user_namespace
from gitops_policy.model import Problem
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

_VOLUME_TYPES = frozenset(
    [
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "image",
        "persistentVolumeClaim",
        "projected",
        "secret",
    ]
)


@rule(
    id="privilege-escalation",
    title="Processes cannot gain privileges",
    severity="error",
    rationale="Without it a set-user-ID program gives a process more rights than its parent.",
    references=[RESTRICTED],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:privilege-escalation-container polaris:privilegeEscalationAllowed "
        "checkov:CKV_K8S_20 kubescape:C-0016 trivy:KSV-0001 datree:47 "
        "kyverno:disallow-privilege-escalation gatekeeper:allow-privilege-escalation "
        "pss:restricted cis:5.2.6 nsa"
    ),
)
def privilege_escalation(container: Container) -> Iterator[Problem]:
    """`allowPrivilegeEscalation` is explicitly false; Windows has no such field."""
    if container.pod.windows:
        return
    if container.security_context.get("allowPrivilegeEscalation") is not False:
        yield container.problem(
            ("securityContext", "allowPrivilegeEscalation"),
            "allowPrivilegeEscalation is not false",
            "set allowPrivilegeEscalation: false",
        )


@rule(
    id="run-as-non-root",
    title="Containers must run as a user other than root",
    severity="error",
    rationale="Root in a container is one kernel bug away from root on the node.",
    references=[RESTRICTED],
    kinds=PODS,
    known_as=(
        "trivy:KSV-0012 datree:52 kyverno:require-run-as-nonroot "
        "gatekeeper:users pss:restricted cis:5.2.7 nsa"
    ),
)
def run_as_non_root(pod: Pod, world: World) -> Iterator[Problem]:
    """`runAsNonRoot` is true after inheritance and nowhere false; user namespaces relax it."""
    if in_user_namespace(pod, world):
        return
    of_pod = pod.security_context.get("runAsNonRoot")
    if of_pod is not None and of_pod is not True:
        yield pod.problem(
            ("securityContext", "runAsNonRoot"),
            "the pod sets runAsNonRoot to something other than true",
            "set runAsNonRoot: true",
        )
    for container in pod.containers:
        own = container.security_context.get("runAsNonRoot")
        if own is not True and (own is not None or of_pod is None):
            yield container.problem(
                ("securityContext", "runAsNonRoot"),
                "may run as root: runAsNonRoot is not true here or on the pod",
                "set runAsNonRoot: true in the pod's securityContext",
            )


@rule(
    id="run-as-root-user",
    title="No user id is 0",
    severity="error",
    rationale="runAsUser: 0 is root whatever the image says.",
    references=[RESTRICTED],
    kinds=PODS,
    known_as=(
        "kube-linter:run-as-non-root trivy:KSV-0105 kyverno:require-run-as-non-root-user "
        "pss:restricted"
    ),
)
def run_as_root_user(pod: Pod, world: World) -> Iterator[Problem]:
    """`runAsUser` is not 0 on the pod or a container; user namespaces relax it."""
    if in_user_namespace(pod, world):
        return
    for subject, context in contexts(pod):
        if context.get("runAsUser") == 0 and context.get("runAsUser") is not False:
            yield subject.problem(
                ("securityContext", "runAsUser"), "runs as user 0", "set a user id above 10000"
            )


@rule(
    id="capabilities-drop-all",
    title="All capabilities are dropped",
    severity="error",
    rationale="A server needs none of the capabilities that a runtime gives by default.",
    references=[RESTRICTED],
    kinds=CONTAINERS,
    known_as=(
        "polaris:insecureCapabilities checkov:CKV_K8S_37 trivy:KSV-0003 trivy:KSV-0004 "
        "trivy:KSV-0106 kubescape:C-0201 kubescape:C-0211 "
        "kyverno:disallow-capabilities-strict kyverno:require-drop-all gatekeeper:capabilities "
        "pss:restricted cis:5.2.10"
    ),
)
def capabilities_drop_all(container: Container) -> Iterator[Problem]:
    """`drop` holds ALL; Windows has no capabilities."""
    dropped = sequence(container.security_context, "capabilities", "drop")
    if not container.pod.windows and "ALL" not in dropped:
        yield container.problem(
            ("securityContext", "capabilities", "drop"),
            "does not drop all capabilities",
            "set capabilities.drop: [ALL]",
        )


@rule(
    id="capabilities-add-bind-service",
    title="No capability but NET_BIND_SERVICE is added",
    severity="error",
    rationale="A server may want a port below 1024; it needs nothing else of root.",
    references=[RESTRICTED],
    kinds=CONTAINERS,
    known_as=(
        "trivy:KSV-0106 kyverno:disallow-capabilities-strict gatekeeper:capabilities "
        "pss:restricted cis:5.2.10"
    ),
)
def capabilities_add_bind_service(container: Container) -> Iterator[Problem]:
    """`add` holds at most NET_BIND_SERVICE; Windows has no capabilities."""
    if container.pod.windows:
        return
    for i, name in enumerate(sequence(container.security_context, "capabilities", "add")):
        if name != "NET_BIND_SERVICE":
            yield container.problem(
                ("securityContext", "capabilities", "add", i),
                f"adds the capability {name!r}; only NET_BIND_SERVICE may be added",
                "remove it from capabilities.add",
            )


@rule(
    id="seccomp-profile",
    title="A seccomp profile is set",
    severity="error",
    rationale="Without a profile most clusters run containers unconfined.",
    references=[RESTRICTED],
    kinds=PODS,
    known_as=(
        "kube-score:container-seccomp-profile datree:61 "
        "kyverno:restrict-seccomp-strict gatekeeper:seccompv2 pss:restricted cis:5.7.2 nsa"
    ),
)
def seccomp_profile(pod: Pod) -> Iterator[Problem]:
    """The pod or every container has a seccomp profile; Windows has none."""
    if pod.windows or field(pod.security_context, "seccompProfile") is not None:
        return
    for container in pod.containers:
        if container.security_context.get("seccompProfile") is None:
            yield container.problem(
                ("securityContext", "seccompProfile"),
                "has no seccomp profile, nor has its pod",
                "set seccompProfile: {type: RuntimeDefault} in the pod's securityContext",
            )


@rule(
    id="volume-types",
    title="Volumes have a type that the restricted standard allows",
    severity="error",
    rationale="Other types reach storage of the node or go around PersistentVolumes.",
    references=[RESTRICTED],
    kinds=PODS,
    known_as="trivy:KSV-0028 kyverno:restrict-volume-types gatekeeper:volumes pss:restricted",
)
def volume_types(pod: Pod) -> Iterator[Problem]:
    """Each volume is one of nine types; a volume without type is an emptyDir."""
    for i, volume in pod.volumes:
        types = [key for key, value in volume.items() if key != "name" and value is not None]
        if types and not _VOLUME_TYPES & set(types):
            yield pod.problem(
                ("volumes", i, types[0]),
                f"volume {volume.get('name')!r} has the restricted type {types[0]!r}",
                f"use one of {', '.join(sorted(_VOLUME_TYPES))}",
            )
