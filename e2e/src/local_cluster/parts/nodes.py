"""Nodes in three zones: objects that kwok keeps ready and node-runner runs pods for.

Two GPU nodes a zone keep others off with a taint, as clouds do; one without serves the rest.
"""

from __future__ import annotations

from local_cluster import objects
from local_cluster.cluster import Cluster
from local_cluster.part import Part

ZONES = ("zone-a", "zone-b", "zone-c")
GPU_NODES = tuple(f"gpu-{zone[-1]}{number}" for zone in ZONES for number in (1, 2))
CPU_NODES = tuple(f"cpu-{zone[-1]}1" for zone in ZONES)
NODES = GPU_NODES + CPU_NODES
_SIZE = {"cpu": "64", "memory": "256Gi", "ephemeral-storage": "400Gi", "pods": "110"}
_GPU = "nvidia.com/gpu"
# The API server wants every field; kwok fills the empty ones.
_INFO = {
    **dict.fromkeys(("bootID", "containerRuntimeVersion", "kernelVersion", "kubeProxyVersion"), ""),
    **dict.fromkeys(("machineID", "osImage", "systemUUID"), ""),
    "architecture": "amd64",
    "kubeletVersion": "v1.36.3",
    "operatingSystem": "linux",
}


def node(name: str) -> objects.Object:
    """A node as a cloud and the GPU operator would label it; the quota's 40 GPUs fit on six."""
    gpu = name in GPU_NODES
    capacity = {**_SIZE, _GPU: "8"} if gpu else dict(_SIZE)
    labels = {
        "kubernetes.io/arch": "amd64",
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "topology.kubernetes.io/region": "local",
        "topology.kubernetes.io/zone": f"zone-{name[4]}",
        **({f"{_GPU}.present": "true"} if gpu else {}),
    }
    taints = [{"key": _GPU, "value": "present", "effect": "NoSchedule"}] if gpu else []
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": labels,
            "annotations": {"kwok.x-k8s.io/node": "fake"},
        },
        "spec": {"taints": taints},
        "status": {"capacity": capacity, "allocatable": capacity, "nodeInfo": _INFO},
    }


def _apply(cluster: Cluster) -> None:
    objects.apply(cluster, *(node(name) for name in NODES))


def _ready(cluster: Cluster) -> str | None:
    found = {item["metadata"]["name"]: item["status"] for item in objects.items(cluster, "nodes")}
    waiting = [name for name in NODES if not _is_ready(found.get(name, {}))]
    return f"not ready: {', '.join(waiting)}" if waiting else None


def _is_ready(status: objects.Object) -> bool:
    conditions = status.get("conditions", [])
    return any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)


PART = Part("nodes", None, _ready, ("kwok-controller",), _apply, ready_seconds=60)
