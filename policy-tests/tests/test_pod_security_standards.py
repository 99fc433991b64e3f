"""Our profiles say of every pod, check by check, what the API server's own library says."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest
import yaml
from gitops_policy import Config, lint
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

STATE = Path(__file__).parents[2] / ".tools"
ORACLE = STATE / "bin" / "pod-security"
FIXTURES = STATE / "pod-security-fixtures"
LEVELS = ("baseline", "restricted")
# Versions between which the standards changed since 1.25, and one that is newer than the library.
VERSIONS = ("1.25", "1.26", "1.27", "1.29", "1.31", "1.32", "1.34", "1.35", "1.36", "1.99")
EXAMPLES = 400 * int(os.environ.get("FUZZ_TIMES", "1"))

RULES = {
    "allowPrivilegeEscalation": {"privilege-escalation"},
    "appArmorProfile": {"apparmor-unconfined"},
    "capabilities_baseline": {"dangerous-capabilities"},
    "capabilities_restricted": {
        "capabilities-drop-all",
        "capabilities-add-bind-service",
        "dangerous-capabilities",
    },
    "hostNamespaces": {"host-ipc", "host-network", "host-pid"},
    "hostPathVolumes": {"host-path"},
    "hostPorts": {"host-port"},
    "hostProbesAndHostLifecycle": {"probe-host"},
    "privileged": {"privileged-container"},
    "procMount": {"proc-mount"},
    "procMount_restricted": {"proc-mount"},
    "restrictedVolumes": {"volume-types", "host-path"},
    "runAsNonRoot": {"run-as-non-root"},
    "runAsUser": {"run-as-root-user"},
    "seLinuxOptions": {"selinux-role", "selinux-type", "selinux-user"},
    "seccompProfile_baseline": {"seccomp-unconfined"},
    "seccompProfile_restricted": {"seccomp-profile", "seccomp-unconfined"},
    "sysctls": {"unsafe-sysctls"},
    "windowsHostProcess": {"windows-host-process"},
}

Question = tuple[str, str, dict[str, Any]]


def oracle(questions: list[Question]) -> list[dict[str, bool]]:
    lines = [
        json.dumps({"level": level, "version": f"v{version}", "pod": pod})
        for level, version, pod in questions
    ]
    answer = subprocess.run(
        [ORACLE], input="\n".join(lines), capture_output=True, text=True, check=False, timeout=300
    )
    assert answer.returncode == 0, answer.stderr
    verdicts = [json.loads(line) for line in answer.stdout.splitlines()]
    assert len(verdicts) == len(questions)
    return verdicts


def ours(question: Question) -> set[str]:
    level, version, pod = question
    report = lint([pod], Config(profile=f"pss-{level}", kubernetes_version=version))
    assert not report.errors
    return {finding.rule for finding in report.findings}


def disagreements(questions: list[Question]) -> list[str]:
    found = []
    for question, checks in zip(questions, oracle(questions), strict=True):
        broken = ours(question)
        said = {check: not broken & RULES[check] for check in checks}
        unknown = broken - set().union(*(RULES[check] for check in checks))
        if said != checks or unknown:
            wrong = {name for name in checks if said[name] != checks[name]} | unknown
            found.append(f"{question[:2]}: {sorted(wrong)} of {json.dumps(question[2])}")
    return found


def fixtures() -> Iterator[tuple[Question, bool]]:
    for path in sorted(FIXTURES.glob("*/v1.*/*/*.yaml")):
        verdict, version, level = (path.parents[i].name for i in range(3))
        if int(version.removeprefix("v1.")) >= 25:
            pod = yaml.load(path.read_text(encoding="utf-8"), yaml.CSafeLoader)
            yield (level, version.removeprefix("v"), pod), verdict == "pass"


def test_every_fixture_of_the_library_gets_its_verdict() -> None:
    cases = list(fixtures())
    assert len(cases) > 1_400
    assert {question[:2] for question, _ in cases} >= {(level, "1.35") for level in LEVELS}
    wrong = [question for question, expected in cases if (not ours(question)) != expected]
    assert wrong == []
    assert disagreements([question for question, _ in cases]) == []


flags = st.sampled_from([None, True, False])


def mapping(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


profiles = st.sampled_from(
    [
        None,
        {},
        {"type": "RuntimeDefault"},
        {"type": "Localhost", "localhostProfile": "p"},
        {"type": "Unconfined"},
        {"type": "runtime/default"},
    ]
)
selinux = st.none() | mapping(
    type=st.sampled_from(
        ["", "container_t", "container_init_t", "container_kvm_t", "container_engine_t", "spc_t"]
    ),
    user=st.sampled_from(["", "system_u"]),
    role=st.sampled_from(["", "system_r"]),
    level=st.just("s0:c1"),
)
windows = st.none() | mapping(hostProcess=flags, runAsUserName=st.just("u"))
names = st.sampled_from(
    ["ALL", "all", "NET_BIND_SERVICE", "NET_RAW", "CHOWN", "SYS_ADMIN", "CAP_CHOWN", "SYS_CHROOT"]
)
handlers = st.none() | mapping(
    httpGet=st.none() | mapping(host=st.sampled_from(["", "h"]), port=st.sampled_from([1, "http"])),
    tcpSocket=st.none() | mapping(host=st.sampled_from(["", "127.0.0.1"]), port=st.just(1)),
    exec=st.none() | st.just({"command": ["true"]}),
)
shared = {
    "runAsNonRoot": flags,
    "runAsUser": st.sampled_from([None, 0, 1, 65532]),
    "seccompProfile": profiles,
    "appArmorProfile": profiles,
    "seLinuxOptions": selinux,
    "windowsOptions": windows,
}
container_contexts = mapping(
    **shared,
    privileged=flags,
    allowPrivilegeEscalation=flags,
    readOnlyRootFilesystem=flags,
    procMount=st.sampled_from([None, "", "Default", "Unmasked"]),
    capabilities=st.none()
    | mapping(
        drop=st.none() | st.lists(names, max_size=2), add=st.none() | st.lists(names, max_size=2)
    ),
)
# Mostly what the standard asks for, so that single deviations are met often.
GOOD = {
    "allowPrivilegeEscalation": False,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
    "capabilities": {"drop": ["ALL"]},
}
contexts = st.none() | container_contexts.map(lambda context: GOOD | context) | container_contexts
containers = st.builds(
    lambda name, fields: {"name": name, "image": "a"} | fields,
    st.sampled_from("abc"),
    mapping(
        securityContext=contexts,
        ports=st.none()
        | st.lists(mapping(containerPort=st.just(80), hostPort=st.sampled_from([0, 80]))),
        livenessProbe=handlers,
        readinessProbe=handlers,
        startupProbe=handlers,
        lifecycle=st.none() | mapping(postStart=handlers, preStop=handlers),
    ),
)
sysctls = st.sampled_from(
    [
        "kernel.shm_rmid_forced",
        "net.ipv4.ip_local_reserved_ports",
        "net.ipv4.tcp_keepalive_time",
        "net.ipv4.tcp_keepalive_intvl",
        "net.ipv4.tcp_keepalive_probes",
        "net.ipv4.tcp_fin_timeout",
        "net.ipv4.tcp_rmem",
        "net.ipv4.tcp_wmem",
        "net.ipv4.ip_unprivileged_port_start",
        "net/ipv4/tcp_syncookies",
        "kernel.msgmax",
        "",
    ]
)
VOLUMES = [
    "awsElasticBlockStore",
    "azureDisk",
    "azureFile",
    "cephfs",
    "cinder",
    "configMap",
    "csi",
    "downwardAPI",
    "emptyDir",
    "ephemeral",
    "fc",
    "flexVolume",
    "flocker",
    "gcePersistentDisk",
    "gitRepo",
    "glusterfs",
    "hostPath",
    "image",
    "iscsi",
    "nfs",
    "persistentVolumeClaim",
    "photonPersistentDisk",
    "portworxVolume",
    "projected",
    "quobyte",
    "rbd",
    "scaleIO",
    "secret",
    "storageos",
    "vsphereVolume",
]
volumes = st.sampled_from(VOLUMES).map(lambda kind: {"name": "v", kind: {}}) | st.sampled_from(
    [
        {"name": "v"},
        {"name": "v", "hostPath": None},
        {"name": "v", "hostPath": {"path": "/"}},
        {"name": "v", "emptyDir": None},
    ]
)
annotations = st.dictionaries(
    st.sampled_from(
        [
            "container.apparmor.security.beta.kubernetes.io/a",
            "container.apparmor.security.beta.kubernetes.io/absent",
            "container.seccomp.security.alpha.kubernetes.io/a",
            "seccomp.security.alpha.kubernetes.io/pod",
        ]
    ),
    st.sampled_from(["", "runtime/default", "localhost/p", "localhost", "unconfined"]),
    max_size=2,
)
pods = st.builds(
    lambda notes, spec: {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "a", "annotations": notes},
        "spec": spec,
    },
    annotations,
    st.fixed_dictionaries(
        {"containers": st.lists(containers, min_size=1, max_size=2)},
        optional={
            "initContainers": st.none() | st.lists(containers, max_size=1),
            "ephemeralContainers": st.none() | st.lists(containers, max_size=1),
            "securityContext": st.none()
            | mapping(
                **shared,
                sysctls=st.lists(st.fixed_dictionaries({"name": sysctls, "value": st.just("1")})),
            ),
            "hostPID": flags,
            "hostIPC": flags,
            "hostNetwork": flags,
            "hostUsers": flags,
            "os": st.none() | st.sampled_from([{"name": "linux"}, {"name": "windows"}]),
            "volumes": st.none() | st.lists(volumes, max_size=2),
        },
    ),
)
questions = st.tuples(st.sampled_from(LEVELS), st.sampled_from(VERSIONS), pods)


def test_generated_pods_get_the_verdict_of_the_library() -> None:
    drawn: list[Question] = []

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(questions)
    def draw(question: Question) -> None:
        drawn.append(question)

    draw()
    assert disagreements(drawn) == []


@pytest.mark.parametrize("check", sorted(RULES))
def test_generated_pods_break_and_keep_every_check(check: str) -> None:
    level = "restricted" if check not in BASELINE_ONLY else "baseline"
    for kept in (True, False):
        find(
            pods,
            lambda pod, kept=kept: (not ours((level, "1.36", pod)) & RULES[check]) is kept,
            settings=settings(deadline=None, phases=[Phase.generate], max_examples=2_000),
            random=Random(1),
        )


BASELINE_ONLY = {"capabilities_baseline", "hostPathVolumes", "procMount", "seccompProfile_baseline"}
