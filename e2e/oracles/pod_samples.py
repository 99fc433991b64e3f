"""Pod templates that the API server takes, good and bad in every field that the standards look at.

Each field is drawn by itself: mostly what `restricted` asks for, so that single deviations are met
often. What the API server refuses in combination is never put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import Any

Fields = dict[str, Any]

# How often a field deviates, by sample: one alone, a few, many.
RATES = (0.02, 0.08, 0.3)
WINDOWS = 0.08
HOST_PROCESS = 0.5
# Containers can only join a pod that is there: these are stored before their namespace enforces.
EPHEMERAL = 0.2
HOSTS = 40
ABSENT = "absent"

PROFILES: Sequence[Any] = (
    None,
    {"type": "RuntimeDefault"},
    {"type": "Localhost", "localhostProfile": "profiles/own"},
    {"type": "Unconfined"},
)
SELINUX: Sequence[Any] = (
    None,
    {},
    {"type": "container_t"},
    {"type": "container_init_t"},
    {"type": "container_kvm_t"},
    {"type": "container_engine_t"},
    {"type": "", "level": "s0:c1"},
    {"type": "spc_t"},
    {"user": "system_u"},
    {"role": "system_r"},
    {"user": "", "role": ""},
)
CAPABILITIES = (
    "ALL", "all", "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD",
    "NET_BIND_SERVICE", "NET_RAW", "SETFCAP", "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    "SYS_ADMIN", "NET_ADMIN", "BPF", "CAP_CHOWN",
)  # fmt: skip
SYSCTLS = (
    "kernel.shm_rmid_forced", "net.ipv4.ip_local_port_range",
    "net.ipv4.ip_unprivileged_port_start", "net.ipv4.tcp_syncookies", "net.ipv4.ping_group_range",
    "net.ipv4.ip_local_reserved_ports", "net.ipv4.tcp_keepalive_time",
    "net.ipv4.tcp_fin_timeout", "net.ipv4.tcp_keepalive_intvl", "net.ipv4.tcp_keepalive_probes",
    "net.ipv4.tcp_rmem", "net.ipv4.tcp_wmem", "net/ipv4/tcp_syncookies", "kernel.msgmax",
    "net.core.somaxconn",
)  # fmt: skip
_CLAIM = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
VOLUMES: Fields = {
    "awsElasticBlockStore": {"volumeID": "v"},
    "azureDisk": {"diskName": "d", "diskURI": "https://a.blob.core.windows.net/d/d.vhd"},
    "azureFile": {"secretName": "s", "shareName": "s"},
    "cephfs": {"monitors": ["m"]},
    "cinder": {"volumeID": "v"},
    "configMap": {"name": "c"},
    "csi": {"driver": "d.example.com"},
    "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]},
    "emptyDir": {},
    "ephemeral": {"volumeClaimTemplate": {"spec": _CLAIM}},
    "fc": {"targetWWNs": ["w"], "lun": 1},
    "flexVolume": {"driver": "example.com/d"},
    "flocker": {"datasetName": "d"},
    "gcePersistentDisk": {"pdName": "p"},
    "gitRepo": {"repository": "r"},
    "glusterfs": {"endpoints": "e", "path": "p"},
    "hostPath": {"path": "/"},
    "image": {"reference": "registry.example.com/a:1"},
    "iscsi": {"targetPortal": "p:1", "iqn": "iqn.2001-04.com.example:storage", "lun": 0},
    "nfs": {"server": "s", "path": "/"},
    "persistentVolumeClaim": {"claimName": "c"},
    "photonPersistentDisk": {"pdID": "p"},
    "portworxVolume": {"volumeID": "v"},
    "projected": {"sources": [{"configMap": {"name": "c"}}]},
    "quobyte": {"registry": "r:1", "volume": "v"},
    "rbd": {"monitors": ["m"], "image": "i"},
    "scaleIO": {"gateway": "g", "system": "s", "volumeName": "v", "secretRef": {"name": "s"}},
    "secret": {"secretName": "s"},
    "storageos": {"volumeName": "v"},
    "vsphereVolume": {"volumePath": "p"},
}
HARMLESS = ("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image",
            "persistentVolumeClaim", "projected", "secret")  # fmt: skip
APPARMOR = "container.apparmor.security.beta.kubernetes.io/"
SECCOMP = ("seccomp.security.alpha.kubernetes.io/pod", "container.seccomp.security.alpha"
           ".kubernetes.io/a")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Sample:
    """A pod template, and the containers that join the pod `host` while it runs."""

    template: Fields
    host: int | None = None
    joining: Sequence[Fields] = ()

    @property
    def whole(self) -> Fields:
        """The template with the containers that join."""
        if self.host is None:
            return self.template
        spec = {**self.template["spec"], "ephemeralContainers": list(self.joining)}
        return {**self.template, "spec": spec}


def samples(seed: int, count: int) -> tuple[list[Fields], list[Sample]]:
    """Return the templates of pods that others join, and samples; the same ones for a seed."""
    hosts = [_Draw(Random(f"{seed} host {number}")) for number in range(HOSTS)]
    templates = [host.template() for host in hosts]
    found: list[Sample] = []
    for number in range(count):
        random = Random(f"{seed} {number}")
        if random.random() < EPHEMERAL:
            host = random.randrange(HOSTS)
            found.append(Sample(templates[host], host, hosts[host].joining(random)))
        else:
            found.append(Sample(_Draw(random).template()))
    return templates, found


class _Draw:
    """The draws of one sample."""

    def __init__(self, random: Random) -> None:
        self.random = random
        self.rate = random.choice(RATES)
        self.windows = random.random() < WINDOWS
        # Only pods of which every container is one may be host processes.
        self.host_process = random.random() < (HOST_PROCESS if self.windows else self.rate / 4)
        # Annotations of old must say what the fields say: the samples have the ones or the others.
        self.annotated = random.random() < self.rate
        self.seccomp_annotated = random.random() < self.rate / 4
        self.ports = 8000

    def template(self) -> Fields:
        spec = self.pod_level()
        spec["containers"] = [self.container(name, "containers") for name in self.names("ab")]
        inits = self.names("ij") if self.random.random() < 0.3 else ""
        if inits:
            spec["initContainers"] = [self.container(name, "initContainers") for name in inits]
        if self.random.random() < 0.5 or self.deviates():
            spec["volumes"] = [self.volume(name) for name in self.names("vw")]
        return {"metadata": self.metadata(), "spec": spec}

    def joining(self, random: Random) -> list[Fields]:
        """Draw containers that join this pod."""
        self.random, self.rate = random, random.choice(RATES)
        return [self.container(name, "ephemeralContainers") for name in self.names("xy")]

    def deviates(self) -> bool:
        return self.random.random() < self.rate

    def names(self, all_names: str) -> str:
        return all_names if self.random.random() < 0.3 else all_names[0]

    def either(self, usual: Sequence[Any], unusual: Sequence[Any]) -> Any:
        return self.random.choice(unusual if self.deviates() else usual)

    def mapping(self, **drawn: Any) -> Fields:
        return {name: value for name, value in drawn.items() if value != ABSENT}

    def metadata(self) -> Fields:
        notes: Fields = {}
        values = ("runtime/default", "localhost/own", "unconfined")
        if self.annotated and not self.windows:
            notes[APPARMOR + "a"] = self.random.choice(values)
        if self.seccomp_annotated:
            notes[self.random.choice(SECCOMP)] = self.random.choice(values)
        return {"labels": {"app": "a"}, "annotations": notes} if notes else {"labels": {"app": "a"}}

    def pod_level(self) -> Fields:
        host = () if self.windows else (True, None)
        shared = {
            name: self.either((ABSENT, False), host or (ABSENT, None))
            for name in ("hostPID", "hostIPC")
        }
        network = True if self.host_process else self.either((ABSENT, False), (True, None))
        spec = self.mapping(**shared, hostNetwork=network)
        own_namespaces = True not in spec.values()
        if own_namespaces and not self.windows:
            users = self.either((ABSENT, True), (False,))
            spec |= self.mapping(hostUsers=users)
        self.isolated = spec.get("hostUsers") is False
        if self.windows:
            spec["os"] = {"name": "windows"}
        elif not self.host_process:
            spec |= self.mapping(os=self.either((ABSENT, {"name": "linux"}), (None,)))
        self.linux = spec.get("os") == {"name": "linux"}
        context = self.context(pod=True)
        if own_namespaces and not self.windows and self.deviates():
            chosen = self.random.sample(SYSCTLS, self.random.choice((1, 1, 2)))
            context["sysctls"] = [{"name": name, "value": "1"} for name in chosen]
        if context or self.random.random() < 0.5:
            spec["securityContext"] = context
        return spec

    def context(self, *, pod: bool) -> Fields:
        context = self.mapping(
            runAsNonRoot=self.either((True,) if pod else (ABSENT, True), (None, False, ABSENT))
        )
        if not self.linux:
            context |= self.mapping(windowsOptions=self.windows_options(pod=pod))
        if self.windows:
            return context
        users = self.either((ABSENT, 1, 65532), (0, 0, None))
        usual = PROFILES[1:3] if pod else (ABSENT, *PROFILES[1:3])
        context |= self.mapping(
            runAsUser=users,
            seLinuxOptions=self.either((ABSENT, *SELINUX[:5]), SELINUX),
        )
        if not self.seccomp_annotated:
            context |= self.mapping(seccompProfile=self.either(usual, (*PROFILES, ABSENT)))
        if not self.annotated:
            profile = self.either((ABSENT, *PROFILES[1:3]), PROFILES)
            context |= self.mapping(appArmorProfile=profile)
        return context

    def windows_options(self, *, pod: bool) -> Any:
        if self.host_process:
            return {"hostProcess": True} if pod or self.deviates() else ABSENT
        return self.either((ABSENT,), (None, {}, {"hostProcess": False}, {"runAsUserName": "u"}))

    def container(self, name: str, group: str) -> Fields:
        content: Fields = {"name": name, "image": "registry.example.com/a:1"}
        context = self.context(pod=False)
        if not self.windows:
            context |= self.linux_context()
        if context or self.random.random() < 0.5:
            content["securityContext"] = context
        if group == "ephemeralContainers":
            return content
        sidecar = group == "initContainers" and self.random.random() < 0.5
        if sidecar:
            content["restartPolicy"] = "Always"
        if self.deviates():
            content["ports"] = [self.port()]
        if group == "containers" or sidecar:
            content |= self.questions()
        return content

    def linux_context(self) -> Fields:
        escalation = self.either((False,), (None, True, ABSENT))
        add = self.either((ABSENT, ["NET_BIND_SERVICE"], []), (None, [self.capability()]))
        drop = self.either((["ALL"],), (ABSENT, None, [], [self.capability()], ["ALL", "KILL"]))
        privileged = self.either((ABSENT, False), (None, True))
        if privileged is True and escalation is False:
            escalation = self.random.choice((ABSENT, True))
        return self.mapping(
            allowPrivilegeEscalation=escalation,
            privileged=privileged,
            procMount=self.proc_mount(),
            capabilities=self.either(
                (self.mapping(add=add, drop=drop),),
                (ABSENT, None, {}, self.mapping(add=add, drop=drop)),
            ),
        )

    def proc_mount(self) -> Any:
        if self.isolated and self.random.random() < 0.3:
            return "Unmasked"
        return self.either((ABSENT, "Default"), (None,))

    def capability(self) -> str:
        return self.random.choice(CAPABILITIES)

    def port(self) -> Fields:
        self.ports += 1
        # In the host's network the two must be the same, and of two containers different.
        inside = {"containerPort": self.ports}
        outside = {**inside, "hostPort": self.ports}
        port: Fields = self.either((inside, outside), (outside,))
        return port

    def questions(self) -> Fields:
        drawn = {
            name: self.probe() if self.random.random() < 0.2 else ABSENT
            for name in ("livenessProbe", "readinessProbe", "startupProbe")
        }
        hooks = self.mapping(
            **{
                name: self.handler(hook=True) if self.random.random() < 0.15 else ABSENT
                for name in ("postStart", "preStop")
            }
        )
        return self.mapping(**drawn, lifecycle=hooks or ABSENT)

    def probe(self) -> Fields:
        return self.handler(hook=False)

    def handler(self, *, hook: bool) -> Fields:
        host = self.either((ABSENT, ""), ("example.com", "127.0.0.1", "10.0.0.1"))
        port = self.random.choice((8080, "http"))
        return self.random.choice(
            (
                {"httpGet": self.mapping(host=host, port=port, path="/")},
                {"httpGet": self.mapping(host=host, port=port, path="/")},
                {"tcpSocket": self.mapping(host=host, port=port)},
                {"exec": {"command": ["true"]}},
                {"sleep": {"seconds": 1}} if hook else {"grpc": {"port": 9000}},
            )
        )

    def volume(self, name: str) -> Fields:
        if self.random.random() < 0.1:
            return {"name": name} | self.random.choice(({}, {"hostPath": None}))
        kind = self.either(HARMLESS, (*VOLUMES, *["hostPath"] * 20))
        return {"name": name, kind: VOLUMES[kind]}
