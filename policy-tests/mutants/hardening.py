"""Promises about what a container may do to its node and its neighbours."""

from __future__ import annotations

from mutants.mutation import GONE, add, append, change, in_containers, in_pods

OWN = "securityContext"

change("drop-security-context", "each container limits itself", in_containers(OWN), GONE)
change("drop-pod-security-context", "pods do not run as root", in_pods(OWN), GONE)
add("run-privileged", "no container is privileged", in_containers(OWN, "privileged"), True)
change(
    "allow-privilege-escalation",
    "no process gains rights by setuid",
    in_containers(OWN, "allowPrivilegeEscalation"),
    True,
    GONE,
)
change(
    "write-root-file-system",
    "the image's files cannot be changed",
    in_containers(OWN, "readOnlyRootFilesystem"),
    False,
    GONE,
)
change(
    "keep-capabilities", "all capabilities are dropped", in_containers(OWN, "capabilities"), GONE
)
change(
    "drop-fewer-capabilities",
    "all capabilities are dropped",
    in_containers(OWN, "capabilities", "drop"),
    ["NET_RAW"],
    [],
)
add(
    "add-capability",
    "no dangerous capability is added",
    in_containers(OWN, "capabilities", "add"),
    ["SYS_ADMIN"],
    ["NET_RAW"],
)
change("run-as-root", "no container runs as root", in_pods(OWN, "runAsUser"), 0)
change("allow-root", "root is refused", in_pods(OWN, "runAsNonRoot"), False, GONE)
change("run-in-root-group", "no process is in the root group", in_pods(OWN, "runAsGroup"), 0)
change("files-of-root-group", "no volume belongs to the root group", in_pods(OWN, "fsGroup"), 0)
change(
    "unconfined-seccomp",
    "system calls are filtered",
    in_pods(OWN, "seccompProfile", "type"),
    "Unconfined",
)
change("drop-seccomp", "system calls are filtered", in_pods(OWN, "seccompProfile"), GONE)
add(
    "unconfined-apparmor",
    "AppArmor confines",
    in_pods(OWN, "appArmorProfile"),
    {"type": "Unconfined"},
)
add("unmasked-proc", "/proc stays masked", in_containers(OWN, "procMount"), "Unmasked")
add(
    "set-unsafe-sysctl",
    "no sysctl reaches the node",
    in_pods(OWN, "sysctls"),
    [{"name": "kernel.msgmax", "value": "65536"}],
)
add("share-host-network", "pods have their own network", in_pods("hostNetwork"), True)
add("share-host-processes", "pods see their own processes", in_pods("hostPID"), True)
add("share-host-ipc", "pods have their own memory segments", in_pods("hostIPC"), True)
add(
    "share-process-namespace",
    "containers see their own processes",
    in_pods("shareProcessNamespace"),
    True,
)
change(
    "open-host-port",
    "no port of the node is taken",
    in_containers("ports", 0),
    lambda port: {**port, "hostPort": 8080},
)
append(
    "mount-host-path",
    "no folder of the node is mounted",
    in_pods("volumes"),
    {"name": "host", "hostPath": {"path": "/etc"}},
    {"name": "runtime", "hostPath": {"path": "/run/containerd/containerd.sock"}},
)
change(
    "mount-service-account-token",
    "pods that need no API have no token",
    in_pods("automountServiceAccountToken", kind="Rollout"),
    True,
)
change(
    "use-default-service-account",
    "each workload has its own service account",
    in_pods("serviceAccountName"),
    GONE,
    "default",
)
change(
    "use-missing-service-account",
    "the service account exists",
    in_pods("serviceAccountName"),
    "nobody",
)
add("keep-terminal", "nobody types into a server", in_containers("tty"), True)
append(
    "literal-credential",
    "no credential stands in a manifest",
    in_containers("env"),
    {"name": "DB_PASSWORD", "value": "Gx7#qP2m!w9Z"},
    {"name": "AWS_ACCESS_KEY_ID", "value": "AKIAIOSFODNN7EXAMPLE"},
)
