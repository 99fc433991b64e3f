"""Pod Security Standards, level baseline: what containers may do to the kernel they share."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, field, sequence
from gitops_policy.kubernetes import pod_standards
from gitops_policy.kubernetes.pod_standards import (
    APPARMOR,
    BASELINE,
    contexts,
    in_user_namespace,
    left_to_restricted,
    revision,
)
from gitops_policy.model import Problem
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

_DEFAULT_CAPABILITIES = frozenset(
    [
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    ]
)
# Each name with the revision of the standard that allowed it.
_SAFE_SYSCTLS = {
    "kernel.shm_rmid_forced": 0,
    "net.ipv4.ip_local_port_range": 0,
    "net.ipv4.ip_unprivileged_port_start": 0,
    "net.ipv4.tcp_syncookies": 0,
    "net.ipv4.ping_group_range": 0,
    "net.ipv4.ip_local_reserved_ports": pod_standards.RESERVED_PORTS,
    "net.ipv4.tcp_keepalive_time": pod_standards.KEEPALIVE,
    "net.ipv4.tcp_fin_timeout": pod_standards.KEEPALIVE,
    "net.ipv4.tcp_keepalive_intvl": pod_standards.KEEPALIVE,
    "net.ipv4.tcp_keepalive_probes": pod_standards.KEEPALIVE,
    "net.ipv4.tcp_rmem": pod_standards.SOCKET_MEMORY,
    "net.ipv4.tcp_wmem": pod_standards.SOCKET_MEMORY,
}
_PROFILES = ("RuntimeDefault", "Localhost")


@rule(
    id="privileged-container",
    title="Containers are not privileged",
    severity="error",
    rationale="A privileged container is root on the node: no mechanism of isolation holds.",
    references=[BASELINE],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:privileged-container kube-score:container-security-context-privileged "
        "polaris:runAsPrivileged checkov:CKV_K8S_16 kubescape:C-0057 trivy:KSV-0017 datree:20 "
        "kyverno:disallow-privileged-containers gatekeeper:privileged-containers pss:baseline "
        "cis:5.2.2 nsa"
    ),
)
def privileged_container(container: Container) -> Iterator[Problem]:
    """`privileged` is not true."""
    if container.security_context.get("privileged") is True:
        yield container.problem(
            ("securityContext", "privileged"), "runs privileged", "remove `privileged: true`"
        )


@rule(
    id="dangerous-capabilities",
    title="No capability is added beyond the runtime's default set",
    severity="error",
    rationale="Capabilities such as SYS_ADMIN, NET_ADMIN or ALL lead out of the container.",
    references=[BASELINE],
    kinds=CONTAINERS,
    known_as=(
        "polaris:dangerousCapabilities checkov:CKV_K8S_39 kubescape:C-0046 trivy:KSV-0005 "
        "trivy:KSV-0120 datree:49 datree:82 kyverno:disallow-capabilities "
        "pss:baseline cis:5.2.9"
    ),
)
def dangerous_capabilities(container: Container, world: World) -> Iterator[Problem]:
    """Every added capability is one of the default set without NET_RAW."""
    if left_to_restricted(container.pod, world):
        return
    for i, name in enumerate(sequence(container.security_context, "capabilities", "add")):
        if str(name) not in _DEFAULT_CAPABILITIES:
            yield container.problem(
                ("securityContext", "capabilities", "add", i),
                f"adds the capability {name!r}",
                "remove it from capabilities.add",
            )


@rule(
    id="seccomp-unconfined",
    title="Seccomp is not switched off",
    severity="error",
    rationale="Unconfined lets a container call every system call of the kernel.",
    references=[BASELINE],
    kinds=PODS,
    known_as="datree:61 kyverno:restrict-seccomp gatekeeper:seccompv2 pss:baseline",
)
def seccomp_unconfined(pod: Pod, world: World) -> Iterator[Problem]:
    """A seccomp profile that is set is RuntimeDefault or Localhost."""
    if left_to_restricted(pod, world):
        return
    for subject, context in contexts(pod):
        profile = context.get("seccompProfile")
        if profile is not None and field(profile, "type") not in _PROFILES:
            yield subject.problem(
                ("securityContext", "seccompProfile", "type"),
                f"seccomp profile {field(profile, 'type')!r} is not RuntimeDefault or Localhost",
                "set seccompProfile.type: RuntimeDefault",
            )


@rule(
    id="apparmor-unconfined",
    title="AppArmor is not switched off",
    severity="error",
    rationale="The runtime's default profile keeps a container from files of the node.",
    references=[BASELINE],
    kinds=PODS,
    known_as="trivy:KSV-0002 kyverno:restrict-apparmor-profiles gatekeeper:apparmor pss:baseline",
)
def apparmor_unconfined(pod: Pod) -> Iterator[Problem]:
    """AppArmor profiles, as field or annotation, are the default or a local one."""
    for subject, context in contexts(pod):
        profile = context.get("appArmorProfile")
        if profile is not None and field(profile, "type") not in _PROFILES:
            yield subject.problem(
                ("securityContext", "appArmorProfile", "type"),
                f"AppArmor profile {field(profile, 'type')!r} is not RuntimeDefault or Localhost",
                "set appArmorProfile.type: RuntimeDefault",
            )
    for key, value in pod.annotations.items():
        allowed = value in ("", "runtime/default") or str(value).startswith("localhost/")
        if key.startswith(APPARMOR) and not allowed:
            yield pod.resource.problem(
                (*pod.path, "metadata", "annotations", key),
                f"AppArmor profile {value!r} is not runtime/default or localhost/*",
                "remove the annotation",
            )


@rule(
    id="proc-mount",
    title="/proc is mounted with the default masks",
    severity="error",
    rationale="An unmasked /proc shows and changes settings of the node's kernel.",
    references=[BASELINE],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:unsafe-proc-mount polaris:procMount kubescape:set-procmount-default "
        "trivy:KSV-0027 kyverno:disallow-proc-mount gatekeeper:proc-mount pss:baseline"
    ),
)
def proc_mount(container: Container, world: World) -> Iterator[Problem]:
    """`procMount` is Default; baseline allows others in a user namespace."""
    if world.config.profile == "pss-baseline" and in_user_namespace(container.pod, world):
        return
    value = container.security_context.get("procMount")
    if value not in (None, "Default"):
        yield container.problem(
            ("securityContext", "procMount"), f"mounts /proc as {value!r}", "remove procMount"
        )


@rule(
    id="unsafe-sysctls",
    title="Only safe sysctls are set",
    severity="error",
    rationale="Other sysctls act on the whole node or switch protections off.",
    references=[BASELINE],
    kinds=PODS,
    known_as=(
        "kube-linter:unsafe-sysctls kubescape:set-sysctls-params trivy:KSV-0026 "
        "kyverno:restrict-sysctls gatekeeper:forbidden-sysctls pss:baseline"
    ),
)
def unsafe_sysctls(pod: Pod, world: World) -> Iterator[Problem]:
    """Every sysctl is one of the safe subset of the standard."""
    for i, sysctl in entries(pod.security_context, "sysctls"):
        since = _SAFE_SYSCTLS.get(str(sysctl.get("name")))
        if since is None or since > revision(world):
            yield pod.problem(
                ("securityContext", "sysctls", i, "name"),
                f"sets the unsafe sysctl {sysctl.get('name')!r}",
                "remove it",
            )
