"""Hardening of pods beyond the Pod Security Standards."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import sequence
from gitops_policy.model import Problem
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule

_HARDENING = "https://kubernetes.io/docs/concepts/security/security-checklist/"
_CONTEXT = "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/"


@rule(
    id="read-only-root-filesystem",
    title="The root filesystem is read-only",
    severity="error",
    rationale="Who gets in cannot change programs or leave files; writable places are declared.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:no-read-only-root-fs "
        "kube-score:container-security-context-readonlyrootfilesystem "
        "polaris:notReadOnlyRootFilesystem checkov:CKV_K8S_22 kubescape:C-0017 trivy:KSV-0014 "
        "datree:45 kyverno:require-ro-rootfs gatekeeper:read-only-root-filesystem nsa"
    ),
)
def read_only_root_filesystem(container: Container) -> Iterator[Problem]:
    """`readOnlyRootFilesystem` is true; Windows cannot."""
    if container.pod.windows:
        return
    if container.security_context.get("readOnlyRootFilesystem") is not True:
        yield container.problem(
            ("securityContext", "readOnlyRootFilesystem"),
            "can write to its root filesystem",
            "set readOnlyRootFilesystem: true and mount an emptyDir where it writes",
        )


@rule(
    id="drop-net-raw",
    title="NET_RAW is dropped",
    severity="error",
    rationale="With NET_RAW a container can forge packets of other pods. ALL drops it, too.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as=(
        "checkov:CKV_K8S_28 kubescape:C-0199 datree:103 kyverno:require-drop-cap-net-raw cis:5.2.8"
    ),
    default=False,  # capabilities-drop-all asks for more: two findings would be one mistake.
)
def drop_net_raw(container: Container) -> Iterator[Problem]:
    """`capabilities.drop` holds NET_RAW or ALL; Windows has no capabilities."""
    dropped = sequence(container.security_context, "capabilities", "drop")
    if not container.pod.windows and not {"ALL", "NET_RAW"} & {str(name) for name in dropped}:
        yield container.problem(
            ("securityContext", "capabilities", "drop"),
            "keeps the capability NET_RAW",
            "set capabilities.drop: [ALL]",
        )


@rule(
    id="host-aliases",
    title="/etc/hosts is not edited",
    severity="info",
    rationale="Names that only one pod knows hide where its traffic goes.",
    references=["https://kubernetes.io/docs/tasks/network/customize-hosts-file-for-pods/"],
    kinds=PODS,
    known_as="trivy:KSV-0007",
)
def host_aliases(pod: Pod) -> Iterator[Problem]:
    """`hostAliases` is empty."""
    if sequence(pod.spec, "hostAliases"):
        yield pod.problem(("hostAliases",), "adds names to /etc/hosts", "use a Service or DNS")


@rule(
    id="interactive-container",
    title="Containers wait for no terminal and call no sudo",
    severity="warning",
    rationale="A terminal or sudo is a debugging aid that was left behind.",
    references=[_HARDENING],
    kinds=CONTAINERS,
    known_as="gatekeeper:disallowinteractive kubescape:C-0062",
)
def interactive_container(container: Container) -> Iterator[Problem]:
    """`tty` and `stdin` are not true; no command calls sudo. Ephemeral containers may."""
    if container.group != "ephemeralContainers":
        for key in ("tty", "stdin"):
            if container.spec.get(key) is True:
                yield container.problem((key,), f"{key} is true", f"remove `{key}: true`")
    for key in ("command", "args"):
        for i, word in enumerate(sequence(container.spec, key)):
            if "sudo" in str(word).replace("/", " ").split():
                yield container.problem((key, i), "calls sudo", "run as the user that is needed")


@rule(
    id="share-process-namespace",
    title="Containers do not see each other's processes",
    severity="warning",
    rationale="With one process namespace a sidecar reads the server's memory and environment.",
    references=[
        "https://kubernetes.io/docs/tasks/configure-pod-container/share-process-namespace/"
    ],
    kinds=PODS,
    known_as="nsa",
)
def share_process_namespace(pod: Pod) -> Iterator[Problem]:
    """`shareProcessNamespace` is not true."""
    if pod.spec.get("shareProcessNamespace") is True:
        yield pod.problem(("shareProcessNamespace",), "shareProcessNamespace is true", "remove it")
