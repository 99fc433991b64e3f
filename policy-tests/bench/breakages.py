"""Known breakages of the production overlay: one changed field each, as of a bad commit."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

Path = tuple[str | int, ...]
POD: Path = ("spec", "template", "spec")
CRON_POD: Path = ("spec", "jobTemplate", "spec", "template", "spec")
GONE = object()


@dataclass(frozen=True)
class Breakage:
    """One broken promise: `value` stands at `path` of the object, or nothing if it is `GONE`."""

    title: str
    kind: str
    name: str
    path: Path
    value: Any


ROLLOUT, CRON_JOB = ("Rollout", "inference"), ("CronJob", "config-retention")
SERVER: Path = (*POD, "containers", 0)
BREAKAGES = (
    Breakage("Rollout without a readiness probe", *ROLLOUT, (*SERVER, "readinessProbe"), GONE),
    Breakage("Rollout without a memory limit", *ROLLOUT,
             (*SERVER, "resources", "limits", "memory"), GONE),
    Breakage("Rollout's image by the tag latest", *ROLLOUT,
             (*SERVER, "image"), "ghcr.io/example/inference-server:latest"),
    Breakage("Rollout with a privileged init container", *ROLLOUT,
             (*POD, "initContainers", 0, "securityContext", "privileged"), True),
    Breakage("Rollout that mounts the node's file system", *ROLLOUT,
             (*POD, "volumes", 0), {"name": "tmp", "hostPath": {"path": "/"}}),
    Breakage("Rollout reads a ConfigMap that nobody makes", *ROLLOUT,
             (*SERVER, "envFrom", 0, "configMapRef", "name"), "model-release-gone"),
    Breakage("Rollout asks an AnalysisTemplate that is missing", *ROLLOUT,
             ("spec", "strategy", "canary", "steps", 4, "analysis", "templates", 0,
              "templateName"), "minimum-trafic"),
    Breakage("canary Service selects no pod", "Service", "inference-canary",
             ("spec", "selector", "app.kubernetes.io/name"), "inference-canary"),
    Breakage("Service's targetPort is no port of the pods", "Service", "inference-stable",
             ("spec", "ports", 0, "targetPort"), "web"),
    Breakage("HPA scales a Rollout that is missing", "HorizontalPodAutoscaler", "inference",
             ("spec", "scaleTargetRef", "name"), "inference-server"),
    Breakage("PDB lets no pod go: a node drain hangs", "PodDisruptionBudget", "inference",
             ("spec", "maxUnavailable"), 0),
    Breakage("NetworkPolicy selects no pod", "NetworkPolicy", "inference-ingress-gateway",
             ("spec", "podSelector", "matchLabels", "app.kubernetes.io/name"), "inferense"),
    Breakage("NetworkPolicy lets everybody in", "NetworkPolicy", "inference-ingress-gateway",
             ("spec", "ingress", 0, "from"), GONE),
    Breakage("HTTPRoute leads to a Service that is missing", "HTTPRoute", "inference",
             ("spec", "rules", 0, "backendRefs", 1, "name"), "inference-next"),
    Breakage("AnalysisTemplate's query is no PromQL", "AnalysisTemplate", "error-window",
             ("spec", "metrics", 0, "provider", "prometheus", "query"), "sum(rate(x[5m])"),
    Breakage("misspelled field in the Rollout", *ROLLOUT, ("spec", "progressDeadlineSecond"), 900),
    Breakage("Role may do everything to everything", "Role", "config-retention",
             ("rules", 0), {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}),
    Breakage("CronJob runs privileged", *CRON_JOB,
             (*CRON_POD, "containers", 0, "securityContext", "privileged"), True),
    Breakage("CronJob without limits", *CRON_JOB,
             (*CRON_POD, "containers", 0, "resources", "limits"), GONE),
    Breakage("CronJob's pods run as root", *CRON_JOB,
             (*CRON_POD, "securityContext"), {"runAsUser": 0}),
)  # fmt: skip


def broken(documents: list[dict[str, Any]], breakage: Breakage) -> list[dict[str, Any]]:
    """Return the documents with one breakage; raises LookupError where its place is gone."""
    changed = copy.deepcopy(documents)
    wanted = (breakage.kind, breakage.name)
    found: Any = next(d for d in changed if (d["kind"], d["metadata"]["name"]) == wanted)
    for step in breakage.path[:-1]:
        found = found[step]
    if breakage.value is GONE:
        del found[breakage.path[-1]]
    else:
        found[breakage.path[-1]] = breakage.value
    return changed
