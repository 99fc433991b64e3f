"""etcd, API server, controller manager, scheduler and kwok, made by kwokctl.

kwokctl writes certificates and arguments and starts the five programs; from then on each is a
part like any other, with its own log, start and stop. The API server takes 20 s of CPU for the
definitions of 65 kinds, so they are put into an etcd once, and every cluster begins with a copy.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from local_cluster import kernel, objects, process
from local_cluster.cluster import Cluster, ClusterError
from local_cluster.part import Command, Part
from local_cluster.parts import crds

PROGRAMS = {
    "etcd": "etcd",
    "kube-apiserver": "kube-apiserver",
    "kube-controller-manager": "kube-controller-manager",
    "kube-scheduler": "kube-scheduler",
    "kwok-controller": "kwok",
}
NAMESPACES = (
    "argo-rollouts", "argocd", "cert-manager", "envoy-gateway-system", "external-secrets",
    "ml-system", "monitoring",
)  # fmt: skip
MANAGED_ANNOTATION = "kwok.x-k8s.io/node=fake"
_LOOPBACK = "127.0.0.1"
_PORTS = {
    "kubeApiserverPort": 20400,
    "etcdPort": 20401,
    "etcdPeerPort": 20402,
    "kubeControllerManagerPort": 20403,
    "kubeSchedulerPort": 20404,
    "kwokControllerPort": 20405,
}
_KUBELET_PORT = 20406
_NAME = "local"
_CREATE_SECONDS = 120
_FILL_SECONDS = 240


def _state(cluster: Cluster) -> Path:
    return cluster.folder / "kwok" / "clusters" / _NAME


def kubelet_port(cluster: Cluster) -> int:
    """Where the API server asks for a container's logs: it takes every node for localhost."""
    return cluster.shifted(_KUBELET_PORT, 10)


def certificate(cluster: Cluster) -> Path:
    """The certificate of the control plane's programs; its key stands beside it."""
    return _state(cluster) / "pki" / "admin.crt"


def configuration(cluster: Cluster) -> list[dict[str, Any]]:
    """What kwokctl is asked for: our programs, listening on loopback only, Node stages only."""
    binaries = {
        f"{_option(component)}Binary": str(cluster.tools / program)
        for component, program in PROGRAMS.items()
    }
    options = {
        "runtime": "binary",
        # kwokctl takes five times the usual seconds until a node without a lease is lost.
        "heartbeatFactor": 1,
        "bindAddress": _LOOPBACK,
        # kwokctl would take free ports, and so would another cluster in the same second.
        **{name: cluster.shifted(port, 10) for name, port in _PORTS.items()},
        "cacheDir": str(cluster.folder / "kwok" / "cache"),
        "kubectlBinary": str(cluster.tools / "kubectl"),
        **binaries,
    }
    patches = [
        # The state is thrown away by `down`: nothing needs to survive a power cut.
        _extra("etcd", False, {"unsafe-no-fsync": "true"}),
        # Without it the server wants a default route, and a laptop on a train has none.
        _extra("kube-apiserver", False, {"advertise-address": "192.0.2.1"}),
        # A node without the annotation `fake` is lost: nobody renews its lease.
        # Leases that a busy machine renews late would end the two programs.
        _extra("kube-controller-manager", False, {"leader-elect": "false"}),
        # The first look of an autoscaler is what a new environment waits for.
        _extra("kube-controller-manager", False, {"horizontal-pod-autoscaler-sync-period": "5s"}),
        _extra("kube-scheduler", False, {"leader-elect": "false"}),
        _extra("kwok-controller", True, {"manage-all-nodes": "false"}),
        # node-runner has the containers, and so their logs.
        _extra("kwok-controller", True, {"node-port": str(kubelet_port(cluster))}),
        _extra(
            "kwok-controller", False, {"manage-nodes-with-annotation-selector": MANAGED_ANNOTATION}
        ),
    ]
    asked = {
        "apiVersion": "config.kwok.x-k8s.io/v1alpha1",
        "kind": "KwokctlConfiguration",
        "options": options,
        "componentsPatches": patches,
    }
    return [asked, *objects.load(objects.MANIFESTS / "node-stages.yaml")]


def _option(component: str) -> str:
    first, *rest = component.split("-")
    return first + "".join(word.capitalize() for word in rest)


def _extra(component: str, override: bool, arguments: dict[str, str]) -> dict[str, Any]:
    extra = [{"key": key, "value": value, "override": override} for key, value in arguments.items()]
    return {"name": component, "extraArgs": extra}


def _create(cluster: Cluster) -> None:
    if not (_state(cluster) / "kwok.yaml").exists():
        _copy_template(cluster)
        _run_kwokctl(cluster)
    _adopt(cluster, PROGRAMS)
    if not cluster.kubeconfig.exists():
        raise ClusterError(
            f"control-plane: {cluster.kubeconfig} is gone from the state folder; "
            "run `local-cluster down`, then `local-cluster up`"
        )


def _copy_template(cluster: Cluster) -> None:
    """Begin with the data of an etcd that holds the definitions; make it where it is missing."""
    home = cluster.root / "build" / "control-plane"
    home.mkdir(parents=True, exist_ok=True)
    with (home / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        template = home / _fingerprint(cluster)
        if not template.exists():
            for old in filter(Path.is_dir, home.iterdir()):
                shutil.rmtree(old)
            _fill(cluster, template)
        shutil.copytree(template, _state(cluster) / "etcd", dirs_exist_ok=True)


def _fingerprint(cluster: Cluster) -> str:
    stamps = cluster.root / ".tools" / "stamps"
    digest = hashlib.sha256()
    for path in [*(stamps / family for family in ("kubernetes", "kwok")), *crds.files(cluster)]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def _fill(cluster: Cluster, template: Path) -> None:
    scratch = replace(cluster, folder=cluster.folder / "template")
    shutil.rmtree(scratch.folder, ignore_errors=True)
    programs = ("etcd", "kube-apiserver")
    try:
        _run_kwokctl(
            scratch, "--disable", ",".join(name for name in PROGRAMS if name not in programs)
        )
        _adopt(scratch, programs)
        crds.apply_missing(scratch)
        objects.wait("control-plane: the definitions", lambda: crds.missing(scratch), _FILL_SECONDS)
    finally:
        for name in reversed(programs):
            process.stop(scratch.part_folder(name))
    (_state(scratch) / "etcd").rename(template)
    shutil.rmtree(scratch.folder)


def _run_kwokctl(cluster: Cluster, *more: str) -> None:
    folder = cluster.part_folder("control-plane")
    folder.mkdir(parents=True, exist_ok=True)
    for port in (*_PORTS.values(), _KUBELET_PORT):
        process.require_free("control-plane", _LOOPBACK, cluster.shifted(port, 10))
    asked = folder / "kwokctl.yaml"
    asked.write_text(yaml.safe_dump_all(configuration(cluster), sort_keys=False))
    argv = [
        str(cluster.tools / "kwokctl"), "create", "cluster", "--name", _NAME,
        "--config", str(asked), "--kubeconfig", str(cluster.kubeconfig),
        "--timeout", f"{_CREATE_SECONDS}s", "--wait", "60s", *more,
    ]  # fmt: skip
    home = str(cluster.folder / "kwok")
    # It takes the first kubectl on PATH, and where there is none it downloads one.
    path = f"{cluster.tools}:{os.environ['PATH']}"
    process.start("control-plane", folder, argv, {"KWOK_WORKDIR": home, "HOME": home, "PATH": path})
    objects.wait("control-plane", lambda: _kwokctl_runs(cluster), _CREATE_SECONDS + 10)
    if not (_state(cluster) / "kwok.yaml").exists() or not cluster.kubeconfig.exists():
        raise ClusterError(
            f"control-plane: kwokctl made no cluster; the end of {process.log_path(folder)}:\n"
            f"{process.log_tail(folder)}"
        )


def _kwokctl_runs(cluster: Cluster) -> str | None:
    """It waits for a program that has ended as for one that is slow: we look ourselves."""
    folder = cluster.part_folder("control-plane")
    if process.alive(folder) is None:
        return None
    for name in ("etcd", "kube-apiserver"):
        pid = _pid(cluster, name)
        if pid is not None and kernel.stat(pid) is None:
            process.stop(folder, within=1)
            _log(cluster, name)
            raise ClusterError(process.ended(name, cluster.part_folder(name)))
    return "kwokctl has not ended"


def _pid(cluster: Cluster, name: str) -> int | None:
    """The pid that kwokctl noted; it may be noting it now."""
    try:
        return int((_state(cluster) / "pids" / f"{name}.pid").read_text())
    except (OSError, ValueError):
        return None


def _log(cluster: Cluster, name: str) -> None:
    """A part's log is the file that kwokctl has its program write."""
    folder = cluster.part_folder(name)
    folder.mkdir(parents=True, exist_ok=True)
    if not process.log_path(folder).is_symlink():
        process.log_path(folder).symlink_to(_state(cluster) / "logs" / f"{name}.log")


def _adopt(cluster: Cluster, names: Iterable[str]) -> None:
    """Make a part of each program that kwokctl started.

    On a busy machine some have given up by now, before the API server was healthy: they are
    started again, as the parts that they are.
    """
    ours = process.left_of(cluster.folder)
    for name in names:
        _log(cluster, name)
        pid = _pid(cluster, name)
        if pid in ours and process.alive(cluster.part_folder(name)) is None:
            process.adopt(cluster.part_folder(name), pid)


def _component(cluster: Cluster, name: str) -> dict[str, Any]:
    documents = objects.load(_state(cluster) / "kwok.yaml")
    [asked] = [found for found in documents if found["kind"] == "KwokctlConfiguration"]
    [component] = [found for found in asked["components"] if found["name"] == name]
    return dict(component)


def _command(cluster: Cluster, name: str) -> Command:
    component = _component(cluster, name)
    return Command([component["binary"], *component["args"]])


def _serves(cluster: Cluster) -> str | None:
    answer = objects.api(cluster).call("GET", "/readyz", "kube-apiserver", accept="*/*")
    return None if answer.is_success else answer.text.strip()


def _lives(name: str, cluster: Cluster) -> str | None:
    return None if process.alive(cluster.part_folder(name)) else "it does not run"


def _accounts_work(cluster: Cluster) -> str | None:
    found = objects.get(cluster, "serviceaccount", "default", "argocd")
    return None if found else "the controller manager made no service account yet"


def _settle(cluster: Cluster) -> None:
    objects.apply(cluster, *objects.namespaces(NAMESPACES))
    objects.kubectl(cluster, "config", "set-context", "--current", "--namespace=argocd")


def _program(name: str, needs: tuple[str, ...]) -> Part:
    ready = _serves if name == "kube-apiserver" else lambda cluster: _lives(name, cluster)
    return Part(
        name,
        lambda cluster: _command(cluster, name),
        ready,
        needs,
        ready_seconds=60,
        stop_seconds=1,
    )


PARTS = (
    Part("control-plane", None, prepare=_create),
    _program("etcd", ("control-plane",)),
    _program("kube-apiserver", ("etcd",)),
    _program("kube-controller-manager", ("kube-apiserver",)),
    _program("kube-scheduler", ("kube-apiserver",)),
    _program("kwok-controller", ("kube-apiserver",)),
    Part("namespaces", None, _accounts_work, ("kube-controller-manager",), _settle),
)
