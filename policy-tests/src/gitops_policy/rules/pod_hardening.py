"""Hardening of pods beyond the Pod Security Standards."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from gitops_policy.fields import entries, sequence, text
from gitops_policy.model import Problem
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule

_HARDENING = "https://kubernetes.io/docs/concepts/security/security-checklist/"
_CONTEXT = "https://kubernetes.io/docs/tasks/configure-pod-container/security-context/"

_LOWEST_ID = 10_001
_SOCKETS = (
    "/run/docker.sock",
    "/run/cri-dockerd.sock",
    "/run/dockershim.sock",
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/podman/podman.sock",
)
_CLOUD_CREDENTIALS = (
    "/.aws",
    "/.azure",
    "/.config/gcloud",
    "/etc/kubernetes/azure.json",
    "/etc/kubernetes/cloud-config",
    "/etc/kubernetes/cloud.conf",
)
_HIGHEST_PRIVILEGED_PORT = 1023
_SSH_PORTS = (22, 2222)


@rule(
    id="high-user-id",
    title="User and group ids are above 10000",
    severity="info",
    rationale="A low id may be a user of the node. Contested: user namespaces do it better.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as=(
        "kube-score:container-security-context-user-group-id checkov:CKV_K8S_40 trivy:KSV-0020 "
        "trivy:KSV-0021 datree:29 datree:51"
    ),
)
def high_user_id(container: Container) -> Iterator[Problem]:
    """`runAsUser` and `runAsGroup` are above 10000 after inheritance."""
    if container.pod.windows or container.pod.spec.get("hostUsers") is False:
        return
    for key in ("runAsUser", "runAsGroup"):
        value = container.inherited(key)
        if not isinstance(value, int) or value < _LOWEST_ID:
            yield container.problem(
                ("securityContext", key), f"{key} is {value!r}", f"set {key} above 10000"
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


def _is_zero(value: object) -> bool:
    return value == 0 and value is not False


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
    rationale="With NET_RAW a container can forge packets of other pods.",
    references=[_CONTEXT],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:drop-net-raw-capability checkov:CKV_K8S_28 kubescape:C-0199 "
        "trivy:KSV-0119 datree:103 kyverno:require-drop-cap-net-raw cis:5.2.8"
    ),
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
    id="container-runtime-socket",
    title="The container runtime's socket is not mounted",
    severity="error",
    rationale="Who can talk to the runtime starts privileged containers.",
    references=[_HARDENING],
    kinds=PODS,
    known_as=(
        "kube-linter:docker-sock checkov:CKV_K8S_27 kubescape:C-0074 trivy:KSV-0006 datree:30 "
        "kyverno:disallow-cri-sock-mount"
    ),
)
def container_runtime_socket(pod: Pod) -> Iterator[Problem]:
    """No hostPath is, or contains, a socket of docker, containerd, CRI-O or podman."""
    for i, path in _host_paths(pod):
        reached = [s for s in _SOCKETS if s == path or s.startswith(path.rstrip("/") + "/")]
        if reached:
            yield pod.problem(
                ("volumes", i, "hostPath", "path"),
                f"{path!r} of the node gives access to {reached[0]}",
                "remove the volume",
            )


@rule(
    id="cloud-credential-mount",
    title="No credentials of the node's cloud account are mounted",
    severity="error",
    rationale="They act as the node, for the whole account.",
    references=["https://kubernetes.io/docs/concepts/security/service-accounts/"],
    kinds=PODS,
    known_as="kubescape:C-0020",
)
def cloud_credential_mount(pod: Pod) -> Iterator[Problem]:
    """No hostPath leads to a cloud tool's credentials."""
    for i, path in _host_paths(pod):
        if any(f"{path}/".find(f"{place}/") >= 0 for place in _CLOUD_CREDENTIALS):
            yield pod.problem(
                ("volumes", i, "hostPath", "path"),
                f"{path!r} of the node holds cloud credentials",
                "use workload identity of the pod's service account",
            )


def _host_paths(pod: Pod) -> Iterator[tuple[int, str]]:
    for i, volume in pod.volumes:
        if path := text(volume, "hostPath", "path"):
            normal = posixpath.normpath("/" + path.lstrip("/"))
            yield i, normal.removeprefix("/var") if f"{normal}/".startswith("/var/run/") else normal


@rule(
    id="privileged-port",
    title="Containers listen above port 1023 and run no SSH",
    severity="warning",
    rationale="Low ports need a capability; SSH in a pod is a way in beside the API.",
    references=[_HARDENING],
    kinds=CONTAINERS,
    known_as="kube-linter:privileged-ports kube-linter:ssh-port trivy:KSV-0117 kubescape:C-0042",
)
def privileged_port(container: Container) -> Iterator[Problem]:
    """Every containerPort is above 1023 and not 2222."""
    for i, port in entries(container.spec, "ports"):
        number = port.get("containerPort")
        if isinstance(number, int) and (number <= _HIGHEST_PRIVILEGED_PORT or number in _SSH_PORTS):
            what = "an SSH port" if number in _SSH_PORTS else "a privileged port"
            yield container.problem(
                ("ports", i, "containerPort"),
                f"listens on {number}, {what}",
                "listen above 1023 and map the port in the Service",
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
