"""What of the node's files containers see."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator

from gitops_policy.fields import entries, text
from gitops_policy.model import Problem
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule

_HOST_PATH = "https://kubernetes.io/docs/concepts/storage/volumes/#hostpath"
_HARDENING = "https://kubernetes.io/docs/concepts/security/security-checklist/"

_SOCKETS = (
    "/run/docker.sock",
    "/run/cri-dockerd.sock",
    "/run/dockershim.sock",
    "/run/containerd/containerd.sock",
    "/run/k3s/containerd/containerd.sock",
    "/run/crio/crio.sock",
    "/run/podman/podman.sock",
)
_SOCKET_NAMES = frozenset(posixpath.basename(path) for path in _SOCKETS)
_DOCKER = "/run/docker"
_SENSITIVE = (
    "/",
    "/boot",
    "/dev",
    "/etc",
    "/lib",
    "/proc",
    "/root",
    "/sys",
    "/usr",
    "/var",
    "/var/lib",
    "/var/lib/docker",
)
# All below them is as sensitive as they are.
_SENSITIVE_TREES = ("/etc/kubernetes", "/var/lib/etcd", "/var/lib/kubelet")
_CLOUD_CREDENTIALS = (
    "/.aws",
    "/.azure",
    "/.config/gcloud",
    "/etc/kubernetes/azure.json",
    "/etc/kubernetes/cloud-config",
    "/etc/kubernetes/cloud.conf",
)


@rule(
    id="writable-host-path",
    title="Paths of the node are mounted read-only",
    severity="error",
    rationale="Who writes files of the node becomes root there: a cron job or a key is enough.",
    references=[_HOST_PATH],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:writable-host-mount kubescape:C-0045 datree:89 "
        "kyverno:ensure-readonly-hostpath"
    ),
)
def writable_host_path(container: Container) -> Iterator[Problem]:
    """A mount of a hostPath volume is `readOnly`."""
    paths = {
        text(volume, "name"): text(volume, "hostPath", "path")
        for _, volume in container.pod.volumes
        if volume.get("hostPath") is not None
    }
    for i, mount in entries(container.spec, "volumeMounts"):
        name = text(mount, "name")
        if name in paths and mount.get("readOnly") is not True:
            yield container.problem(
                ("volumeMounts", i),
                f"can write to {paths[name]!r} of the node",
                "set readOnly: true on the mount",
            )


@rule(
    id="sensitive-host-path",
    title="No system directory of the node is mounted",
    severity="error",
    rationale="These directories hold the node's programs, keys and devices: reading is enough.",
    references=[_HOST_PATH],
    kinds=PODS,
    known_as="kube-linter:sensitive-host-mounts trivy:KSV-0121",
)
def sensitive_host_path(pod: Pod) -> Iterator[Problem]:
    """No hostPath is a system directory, or below the kubelet's, etcd's and the control plane's."""
    for i, volume in pod.volumes:
        path = posixpath.normpath(text(volume, "hostPath", "path") or ".")
        if path in _SENSITIVE or any(f"{path}/".startswith(f"{top}/") for top in _SENSITIVE_TREES):
            yield pod.problem(
                ("volumes", i, "hostPath", "path"),
                f"mounts {path!r} of the node",
                "mount the one file or folder that is needed",
            )


@rule(
    id="container-runtime-socket",
    title="The container runtime's socket is not mounted",
    severity="error",
    rationale="Who can talk to the runtime starts privileged containers.",
    references=[_HARDENING],
    kinds=PODS,
    known_as=(
        "kube-linter:docker-sock kube-linter:container-runtime-sock checkov:CKV_K8S_27 "
        "kubescape:C-0074 trivy:KSV-0006 datree:30 kyverno:disallow-cri-sock-mount"
    ),
)
def container_runtime_socket(pod: Pod) -> Iterator[Problem]:
    """No hostPath is, or contains, a socket of docker, containerd, CRI-O or podman.

    Where the runtime is configured to put it elsewhere, its file name tells.
    """
    for i, path in _host_paths(pod):
        reached = [s for s in _SOCKETS if s == path or s.startswith(path.rstrip("/") + "/")]
        if not reached and posixpath.basename(path) in _SOCKET_NAMES:
            reached = [path]
        if reached or path == _DOCKER:
            yield pod.problem(
                ("volumes", i, "hostPath", "path"),
                f"{path!r} of the node gives access to {(reached or [_DOCKER])[0]}",
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
