"""What a timeline keeps of an object: subject and value, nothing of how it was watched."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

Object = Mapping[str, Any]
Facts = dict[str, Any]

HASH = "rollouts-pod-template-hash"
ROLLOUT = "inference"


def rollout(found: Object) -> Facts:
    """Phase, step and hashes of the Rollout, and what a controller may flip: its replicas."""
    status, spec = found.get("status", {}), found["spec"]
    canary = status.get("canary", {}).get("weights", {}).get("canary", {})
    generation = str(found["metadata"].get("generation"))
    return {
        "rollout.phase": status.get("phase"),
        "rollout.message": status.get("message", ""),
        "rollout.step": status.get("currentStepIndex"),
        "rollout.current": status.get("currentPodHash"),
        "rollout.stable": status.get("stableRS"),
        "rollout.weight": canary.get("weight", 0),
        "rollout.aborted": bool(status.get("abort")),
        "rollout.replicas": spec.get("replicas"),
        "rollout.available": status.get("availableReplicas", 0),
        # Between what it is about and what it says of it: a reader never takes one for the other.
        "rollout.observed": status.get("observedGeneration") == generation,
        "rollout.release": spec["template"]["metadata"]["annotations"].get("model-version"),
    }


def analysis_run(found: Object) -> Facts:
    """Phase of a run and of each metric that it has measured."""
    name, status = found["metadata"]["name"], found.get("status", {})
    facts: Facts = {
        f"analysis/{name}": status.get("phase", "Pending"),
        f"message/{name}": status.get("message", ""),
    }
    for metric in status.get("metricResults", []):
        facts[f"metric/{name}/{metric['name']}"] = metric["phase"]
    return facts


def application(found: Object) -> Facts:
    """Sync and health of the Application, and its newest operation."""
    status = found.get("status", {})
    operation = status.get("operationState", {})
    return {
        "application.sync": status.get("sync", {}).get("status"),
        "application.revision": status.get("sync", {}).get("revision"),
        "application.health": status.get("health", {}).get("status"),
        "application.operation": operation.get("phase"),
        "application.synced-revision": operation.get("syncResult", {}).get("revision"),
    }


def http_route(found: Object) -> Facts:
    """The weights that the traffic-router plugin has written."""
    if found["metadata"]["name"] != ROLLOUT:
        return {}
    backends = {backend["name"]: backend for backend in found["spec"]["rules"][0]["backendRefs"]}
    return {
        "route.canary": backends["inference-canary"].get("weight", 1),
        "route.stable": backends["inference-stable"].get("weight", 1),
    }


def service(found: Object) -> Facts:
    """Whom the stable and the canary Service select."""
    side = found["metadata"]["name"].removeprefix("inference-")
    if side not in ("stable", "canary"):
        return {}
    return {f"service.{side}": found["spec"].get("selector", {}).get(HASH)}


def autoscaler(found: Object) -> Facts:
    """How many pods the HPA wants."""
    return {"autoscaler.desired": found.get("status", {}).get("desiredReplicas")}


def pods(found: Iterable[Object]) -> Facts:
    """Servers that are ready, by the hash of their version."""
    facts: Facts = {}
    for pod in found:
        labels = pod["metadata"].get("labels", {})
        if HASH not in labels:
            continue
        subject = f"pods/{labels[HASH]}"
        facts[subject] = facts.get(subject, 0) + is_ready(pod)
    return facts


def is_ready(pod: Object) -> bool:
    """Whether a pod is ready and not on its way out."""
    conditions = pod.get("status", {}).get("conditions", [])
    ready = any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)
    return ready and "deletionTimestamp" not in pod["metadata"]
