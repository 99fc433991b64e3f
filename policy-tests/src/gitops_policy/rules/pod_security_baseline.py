"""Pod Security Standards, level baseline, with the field lists of Kubernetes 1.36."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Problem
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

STANDARD = "https://kubernetes.io/docs/concepts/security/pod-security-standards/#baseline"

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
_SAFE_SYSCTLS = frozenset(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_port_range",
        "net.ipv4.ip_unprivileged_port_start",
        "net.ipv4.tcp_syncookies",
        "net.ipv4.ping_group_range",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
    ]
)
_SELINUX_TYPES = frozenset(
    {"", "container_t", "container_init_t", "container_kvm_t", "container_engine_t"}
)
_PROFILES = ("RuntimeDefault", "Localhost")
_APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")

Contexts = Iterator[tuple[Pod | Container, dict[str, object]]]


def contexts(pod: Pod) -> Contexts:
    """Yield the pod and each container with its own security context."""
    yield pod, pod.security_context
    for container in pod.containers:
        yield container, container.security_context


@rule(
    id="privileged-container",
    title="Containers are not privileged",
    severity="error",
    rationale="A privileged container is root on the node: no mechanism of isolation holds.",
    references=[STANDARD],
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
    references=[STANDARD],
    kinds=CONTAINERS,
    known_as=(
        "polaris:dangerousCapabilities checkov:CKV_K8S_25 checkov:CKV_K8S_39 kubescape:C-0046 "
        "trivy:KSV-0005 trivy:KSV-0022 trivy:KSV-0120 datree:82 kyverno:disallow-capabilities "
        "pss:baseline cis:5.2.9"
    ),
)
def dangerous_capabilities(container: Container) -> Iterator[Problem]:
    """Every added capability is one of the default set without NET_RAW."""
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
    references=[STANDARD],
    kinds=PODS,
    known_as=(
        "polaris:linuxHardening trivy:KSV-0104 datree:99 kyverno:restrict-seccomp "
        "gatekeeper:seccompv2 pss:baseline"
    ),
)
def seccomp_unconfined(pod: Pod) -> Iterator[Problem]:
    """A seccomp profile that is set is RuntimeDefault or Localhost."""
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
    references=[STANDARD],
    kinds=PODS,
    known_as=(
        "polaris:linuxHardening trivy:KSV-0002 kubescape:C-0055 "
        "kyverno:restrict-apparmor-profiles gatekeeper:apparmor pss:baseline"
    ),
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
        if key.startswith(_APPARMOR) and not allowed:
            yield pod.resource.problem(
                (*pod.path, "metadata", "annotations", key),
                f"AppArmor profile {value!r} is not runtime/default or localhost/*",
                "remove the annotation",
            )


@rule(
    id="selinux-options",
    title="SELinux user, role and type are not customised",
    severity="error",
    rationale="A custom SELinux label can take a container out of its confinement.",
    references=[STANDARD],
    kinds=PODS,
    known_as=(
        "trivy:KSV-0025 kubescape:set-seLinuxOptions datree:86 datree:87 datree:88 "
        "kyverno:disallow-selinux gatekeeper:selinux pss:baseline"
    ),
)
def selinux_options(pod: Pod) -> Iterator[Problem]:
    """`type` is one of the container types; `user` and `role` are not set."""
    for subject, context in contexts(pod):
        options = mapping(context, "seLinuxOptions")
        bad = {key: options.get(key) for key in ("user", "role") if options.get(key)}
        if str(options.get("type") or "") not in _SELINUX_TYPES:
            bad["type"] = options["type"]
        for key, value in bad.items():
            yield subject.problem(
                ("securityContext", "seLinuxOptions", key),
                f"sets the SELinux {key} {value!r}",
                f"remove seLinuxOptions.{key}",
            )


@rule(
    id="proc-mount",
    title="/proc is mounted with the default masks",
    severity="error",
    rationale="An unmasked /proc shows and changes settings of the node's kernel.",
    references=[STANDARD],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:unsafe-proc-mount polaris:procMount kubescape:set-procmount-default "
        "trivy:KSV-0027 kyverno:disallow-proc-mount gatekeeper:proc-mount pss:baseline"
    ),
)
def proc_mount(container: Container, world: World) -> Iterator[Problem]:
    """`procMount` is Default; baseline allows others in a user namespace."""
    if world.config.profile == "pss-baseline" and container.pod.spec.get("hostUsers") is False:
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
    references=[STANDARD],
    kinds=PODS,
    known_as=(
        "kube-linter:unsafe-sysctls kubescape:set-sysctls-params trivy:KSV-0026 "
        "kyverno:restrict-sysctls gatekeeper:forbidden-sysctls pss:baseline"
    ),
)
def unsafe_sysctls(pod: Pod) -> Iterator[Problem]:
    """Every sysctl is one of the safe subset of the standard."""
    for i, sysctl in entries(pod.security_context, "sysctls"):
        if str(sysctl.get("name")) not in _SAFE_SYSCTLS:
            yield pod.problem(
                ("securityContext", "sysctls", i, "name"),
                f"sets the unsafe sysctl {sysctl.get('name')!r}",
                "remove it",
            )


@rule(
    id="host-namespaces",
    title="Pods do not share the node's namespaces",
    severity="error",
    rationale="hostPID, hostIPC and hostNetwork show a pod the processes and traffic of the node.",
    references=[STANDARD],
    kinds=PODS,
    known_as=(
        "kube-linter:host-pid kube-linter:host-ipc kube-linter:host-network polaris:hostPIDSet "
        "polaris:hostIPCSet polaris:hostNetworkSet checkov:CKV_K8S_17 checkov:CKV_K8S_18 "
        "checkov:CKV_K8S_19 kubescape:C-0038 kubescape:C-0041 kubescape:C-0275 "
        "kubescape:C-0276 trivy:KSV-0008 trivy:KSV-0009 trivy:KSV-0010 datree:26 datree:27 "
        "datree:28 kyverno:disallow-host-namespaces gatekeeper:host-namespaces pss:baseline "
        "cis:5.2.3 cis:5.2.4 cis:5.2.5 nsa"
    ),
)
def host_namespaces(pod: Pod) -> Iterator[Problem]:
    """`hostPID`, `hostIPC` and `hostNetwork` are not true."""
    for key in ("hostPID", "hostIPC", "hostNetwork"):
        if pod.spec.get(key) is True:
            yield pod.problem((key,), f"{key} is true", f"remove `{key}: true`")


@rule(
    id="host-path",
    title="No volume is a path of the node",
    severity="error",
    rationale="A hostPath reads, and mostly writes, files that belong to the node.",
    references=[STANDARD],
    kinds=PODS,
    known_as=(
        "kube-linter:sensitive-host-mounts kube-linter:writable-host-mount polaris:hostPathSet "
        "kubescape:C-0045 kubescape:C-0048 trivy:KSV-0023 trivy:KSV-0121 datree:46 datree:89 "
        "kyverno:disallow-host-path kyverno:ensure-readonly-hostpath "
        "gatekeeper:host-filesystem pss:baseline cis:5.2.12"
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
    references=[STANDARD],
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
    references=[STANDARD],
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
    references=[STANDARD],
    kinds=CONTAINERS,
    known_as="pss:baseline gatekeeper:host-probes-lifecycle",
)
def probe_host(container: Container) -> Iterator[Problem]:
    """`httpGet.host` and `tcpSocket.host` are empty in all probes and hooks."""
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
