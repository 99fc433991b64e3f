"""Pod Security Standards, level baseline: what a pod takes or asks of its node."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, text
from gitops_policy.kubernetes.pod_standards import BASELINE, PROBE_HOSTS, contexts, revision
from gitops_policy.model import Problem
from gitops_policy.pods import PROBES, Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World


@rule(
    id="host-pid",
    title="Pods do not share the node's process ids",
    severity="error",
    rationale="hostPID shows a pod the processes of the node: their environment, memory and files.",
    references=[BASELINE],
    kinds=PODS,
    known_as=(
        "kube-linter:host-pid polaris:hostPIDSet checkov:CKV_K8S_17 kubescape:C-0038 "
        "kubescape:C-0275 trivy:KSV-0010 datree:26 cis:5.2.3 "
        "kyverno:disallow-host-namespaces gatekeeper:host-namespaces pss:baseline nsa"
    ),
)
def host_pid(pod: Pod) -> Iterator[Problem]:
    """`hostPID` is not true."""
    yield from _shared(pod, "hostPID")


@rule(
    id="host-ipc",
    title="Pods do not share the node's shared memory",
    severity="error",
    rationale="hostIPC lets a pod read and write what processes of the node share.",
    references=[BASELINE],
    kinds=PODS,
    known_as=(
        "kube-linter:host-ipc polaris:hostIPCSet checkov:CKV_K8S_18 kubescape:C-0038 "
        "kubescape:C-0276 trivy:KSV-0008 datree:27 cis:5.2.4 "
        "kyverno:disallow-host-namespaces gatekeeper:host-namespaces pss:baseline nsa"
    ),
)
def host_ipc(pod: Pod) -> Iterator[Problem]:
    """`hostIPC` is not true."""
    yield from _shared(pod, "hostIPC")


@rule(
    id="host-network",
    title="Pods do not share the node's network",
    severity="error",
    rationale="hostNetwork goes around NetworkPolicies and reaches what listens on the node only.",
    references=[BASELINE],
    kinds=PODS,
    known_as=(
        "kube-linter:host-network polaris:hostNetworkSet checkov:CKV_K8S_19 "
        "kubescape:C-0041 trivy:KSV-0009 datree:28 cis:5.2.5 gatekeeper:host-network-ports "
        "kyverno:disallow-host-namespaces gatekeeper:host-namespaces pss:baseline nsa"
    ),
)
def host_network(pod: Pod) -> Iterator[Problem]:
    """`hostNetwork` is not true."""
    yield from _shared(pod, "hostNetwork")


def _shared(pod: Pod, key: str) -> Iterator[Problem]:
    if pod.spec.get(key) is True:
        yield pod.problem((key,), f"{key} is true", f"remove `{key}: true`")


@rule(
    id="host-path",
    title="No volume is a path of the node",
    severity="error",
    rationale="A hostPath reads, and mostly writes, files that belong to the node.",
    references=[BASELINE],
    kinds=PODS,
    known_as=(
        "polaris:hostPathSet kubescape:C-0048 trivy:KSV-0023 datree:46 "
        "kyverno:disallow-host-path gatekeeper:host-filesystem pss:baseline cis:5.2.12"
    ),
)
def host_path(pod: Pod) -> Iterator[Problem]:
    """No volume has a `hostPath`."""
    for i, volume in pod.volumes:
        if volume.get("hostPath") is not None:
            where = text(volume, "hostPath", "path")
            yield pod.problem(
                ("volumes", i, "hostPath"),
                f"volume {volume.get('name')!r} is {where!r} of the node",
                "use an emptyDir, a projected volume or a PersistentVolumeClaim",
            )


@rule(
    id="host-port",
    title="Containers bind no port of the node",
    severity="error",
    rationale="A hostPort goes around Services and NetworkPolicies and blocks scheduling.",
    references=[BASELINE],
    kinds=CONTAINERS,
    known_as=(
        "polaris:hostPortSet checkov:CKV_K8S_26 kubescape:C-0044 trivy:KSV-0024 datree:50 "
        "kyverno:disallow-host-ports gatekeeper:host-network-ports pss:baseline cis:5.2.13 nsa"
    ),
)
def host_port(container: Container) -> Iterator[Problem]:
    """`hostPort` is unset or 0."""
    for i, port in entries(container.spec, "ports"):
        if port.get("hostPort") not in (None, 0):
            yield container.problem(
                ("ports", i, "hostPort"),
                f"binds port {port['hostPort']} of the node",
                "remove hostPort and use a Service",
            )


@rule(
    id="windows-host-process",
    title="No Windows HostProcess containers",
    severity="error",
    rationale="A HostProcess container runs with the rights of the node.",
    references=[BASELINE],
    kinds=PODS,
    known_as=(
        "polaris:hostProcess kubescape:set-hostprocess-true trivy:KSV-0103 datree:85 "
        "kyverno:disallow-host-process gatekeeper:host-process pss:baseline cis:5.2.11"
    ),
)
def windows_host_process(pod: Pod) -> Iterator[Problem]:
    """`windowsOptions.hostProcess` is not true, neither on the pod nor on a container."""
    for subject, context in contexts(pod):
        if field(context, "windowsOptions", "hostProcess") is True:
            yield subject.problem(
                ("securityContext", "windowsOptions", "hostProcess"),
                "runs as a Windows HostProcess",
                "remove hostProcess",
            )


@rule(
    id="probe-host",
    title="Probes and lifecycle hooks name no host",
    severity="error",
    rationale="The kubelet sends these requests: a host makes it call any address it can reach.",
    references=[BASELINE],
    kinds=CONTAINERS,
    known_as="pss:baseline gatekeeper:host-probes-lifecycle",
)
def probe_host(container: Container, world: World) -> Iterator[Problem]:
    """`httpGet.host` and `tcpSocket.host` are empty in all probes and hooks."""
    if world.config.profile.startswith("pss-") and revision(world) < PROBE_HOSTS:
        return
    handlers: list[Path] = [(name,) for name in PROBES]
    handlers += [("lifecycle", "postStart"), ("lifecycle", "preStop")]
    for handler in handlers:
        for kind in ("httpGet", "tcpSocket"):
            host = field(container.spec, *handler, kind, "host")
            if host:
                yield container.problem(
                    (*handler, kind, "host"),
                    f"{'.'.join(map(str, handler))} calls the host {host!r}",
                    "remove host: the pod's own address is the default",
                )
