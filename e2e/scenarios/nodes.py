"""The cluster's nodes: where pods run, and nodes that are drained or lost and come back."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from e2e.scenarios.environment import Control, Environment
from e2e.scenarios.places import TOOLS
from e2e.scenarios.waiting import wait_for

ZONE = "topology.kubernetes.io/zone"
DRAIN_SECONDS = 180
RETURN_SECONDS = 60
# What the API server fills in; the node comes back without it.
FILLED = ("uid", "resourceVersion", "creationTimestamp", "managedFields", "generation")


def zones(control: Control) -> dict[str, str]:
    """The zone of each node."""
    found = control.api.get("nodes")
    return {node.name: node.raw["metadata"]["labels"].get(ZONE, "") for node in found}


def pods_by_node(environment: Environment) -> Counter[str]:
    """How many servers of the environment each node runs; those that go do not count."""
    servers = environment.find_all("pods", label_selector="app.kubernetes.io/name=inference")
    return Counter(
        pod.raw["spec"].get("nodeName", "")
        for pod in servers
        if "deletionTimestamp" not in pod.raw["metadata"]
    )


def pods_by_zone(environment: Environment) -> Counter[str]:
    """How many servers of the environment each zone runs."""
    where, found = zones(environment.control), Counter[str]()
    for node, count in pods_by_node(environment).items():
        found[where.get(node, "")] += count
    return found


@contextmanager
def drained(control: Control, names: list[str]) -> Iterator[str]:
    """`kubectl drain` of each at the same time; what all said. They take pods again afterwards."""
    options = ("--ignore-daemonsets", "--delete-emptydir-data", f"--timeout={DRAIN_SECONDS}s")
    begun = [_begin(control, "drain", name, *options) for name in names]
    try:
        yield "".join(_end(each) for each in begun)
    finally:
        _end(_begin(control, "uncordon", *names))


@contextmanager
def lost(control: Control, names: list[str]) -> Iterator[None]:
    """The machines are gone without a word, and a cloud's controller deletes their Nodes."""
    found = [node for node in control.api.get("nodes") if node.name in names]
    documents = [_again(node.raw) for node in found]
    for node in found:
        node.delete()
    try:
        yield
    finally:
        for document in documents:
            type(found[0])(document, api=control.api).create()
        wait_for("the nodes to be back", lambda: _ready(control, names), RETURN_SECONDS)


def _again(node: dict[str, Any]) -> dict[str, Any]:
    metadata = {k: v for k, v in node["metadata"].items() if k not in FILLED}
    # Kubernetes marks a lost node; it comes back without the mark.
    taints = [t for t in node["spec"].get("taints", []) if "kubernetes.io" not in t["key"]]
    size = {key: node["status"][key] for key in ("capacity", "allocatable")}
    spec = {"taints": taints}
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": metadata,
        "spec": spec,
        "status": {**size, "nodeInfo": node["status"]["nodeInfo"]},
    }


def _ready(control: Control, names: list[str]) -> bool:
    conditions = {
        node.name: {c["type"]: c["status"] for c in node.raw["status"].get("conditions", [])}
        for node in control.api.get("nodes")
    }
    return all(conditions.get(name, {}).get("Ready") == "True" for name in names)


def _begin(control: Control, *words: str) -> subprocess.Popen[str]:
    argv = [str(TOOLS / "kubectl"), f"--kubeconfig={control.places.kubeconfig}", *words]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _end(begun: subprocess.Popen[str]) -> str:
    """What it said, once it has ended well."""
    try:
        said, _ = begun.communicate(timeout=DRAIN_SECONDS + 30)
    finally:
        begun.kill()
    assert begun.returncode == 0, f"{begun.args}: {said}"
    return said
