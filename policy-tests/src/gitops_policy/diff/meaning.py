"""What a changed field means to the people who review it, and whether pods restart for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from gitops_policy.apis.kinds import POD_TEMPLATES
from gitops_policy.diff.changes import Change
from gitops_policy.fields import Path, mapping, text
from gitops_policy.model import Resource
from gitops_policy.pods import GROUPS

_MODEL_ANNOTATIONS = frozenset({"model-version", "model-sha256", "expected-shift"})
_MODEL_KEYS = frozenset(
    {
        *("MODEL_NAME", "MODEL_VERSION", "MODEL_URI", "MODEL_SHA256", "MODEL_RUN_ID"),
        *("DATASET_VERSION", "TRAINING_GIT_SHA", "EXPECTED_SHIFT", "EXPECTED_SHIFT_REASON"),
    }
)
_REPLICAS = frozenset({"replicas", "minReplicas", "maxReplicas"})
_SCALED_OBJECT = frozenset({"minReplicaCount", "maxReplicaCount", "idleReplicaCount"})
_TRAFFIC = frozenset({"weight", "setWeight", "setCanaryScale", "maxTrafficWeight"})

# How a change of its pod template reaches the pods of a kind.
RESTARTS = {
    "apps/Deployment": "pods are replaced",
    "apps/StatefulSet": "pods are replaced",
    "apps/DaemonSet": "pods are replaced",
    "argoproj.io/Rollout": "a release starts, pods are replaced",
    "Pod": "the pod must be deleted and made again",
}


def category(resource: Resource, path: Path) -> str:
    """Return the name of what a field of an object is about."""
    for name, holds in _MEANINGS.items():
        if path and holds(resource, path):
            return name
    return "other"


def _is_image(resource: Resource, path: Path) -> bool:
    del resource
    return path[-1] == "image" and len(path) > 2 and path[-3] in GROUPS


def _is_model(resource: Resource, path: Path) -> bool:
    if resource.kind == "ConfigMap":
        return path[0] == "data" and path[-1] in _MODEL_KEYS and is_release(resource)
    return path[-1] in _MODEL_ANNOTATIONS and "annotations" in path


def is_release(resource: Resource) -> bool:
    """Say whether a ConfigMap says which model is served."""
    return "MODEL_VERSION" in mapping(resource.content, "data")


def _is_replicas(resource: Resource, path: Path) -> bool:
    if resource.kind == "ScaledObject":
        return path[-1] in _SCALED_OBJECT
    return len(path) == 2 and path[0] == "spec" and path[-1] in _REPLICAS


def _is_amount(resource: Resource, path: Path) -> bool:
    if resource.kind in ("ResourceQuota", "LimitRange"):
        return path[0] == "spec"
    inside = next((i for i, step in enumerate(path) if step in GROUPS), None)
    return inside is not None and "resources" in path[inside:]


def _is_env(resource: Resource, path: Path) -> bool:
    del resource
    return any(step in GROUPS for step in path) and bool({"env", "envFrom"} & set(path))


def _is_traffic(resource: Resource, path: Path) -> bool:
    if resource.group_kind == "argoproj.io/Rollout":
        return path[:3] == ("spec", "strategy", "canary") and "trafficRouting" not in path
    return path[-1] in _TRAFFIC and "affinity" not in path


_MEANINGS: dict[str, Callable[[Resource, Path], bool]] = {
    "image": _is_image,
    "model": _is_model,
    "replicas": _is_replicas,
    "resources": _is_amount,
    "env": _is_env,
    "traffic": _is_traffic,
}


def restart(resource: Resource, found: list[Change]) -> str:
    """Return how pods of the object restart for these changes; empty where they do not."""
    where = POD_TEMPLATES.get(resource.group_kind)
    effect = RESTARTS.get(resource.group_kind, "")
    if where is None or not effect:
        return ""
    if resource.group_kind == "Pod":
        where = ("spec",)
    return effect if any(change.path[: len(where)] == where for change in found) else ""


def model_of(resource: Resource) -> dict[str, str]:
    """Return name, version and hash of the model that an object's release settings name."""
    data: dict[str, Any] = mapping(resource.content, "data")
    keys = {"name": "MODEL_NAME", "version": "MODEL_VERSION", "sha256": "MODEL_SHA256"}
    return {name: text(data, key) for name, key in keys.items()}
