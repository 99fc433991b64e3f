"""Promises about what a pod is told, where it runs, what it is called, and jobs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import field, mapping
from gitops_policy.model import Index

from mutants.mutation import (
    GONE,
    Mutation,
    append,
    at,
    change,
    in_containers,
    in_pods,
    in_templates,
    operator,
    outside_dev,
)

# Configuration.
change(
    "wrong-config-map",
    "each ConfigMap exists",
    in_containers("envFrom", "*", "configMapRef", "name"),
    "model-settings",
)
change(
    "unhashed-config-map",
    "a new configuration starts new pods",
    in_containers("envFrom", "*", "configMapRef", "name"),
    "model-release",
)
change(
    "wrong-config-map-volume",
    "each ConfigMap exists",
    in_pods("volumes", "*", "configMap", "name"),
    "scripts",
)
change(
    "wrong-secret-volume",
    "each Secret exists",
    in_pods("volumes", "*", "secret", "secretName"),
    "api-keys",
)
append(
    "wrong-secret-key",
    "each key of a Secret exists",
    in_containers("env"),
    {"name": "HASHES", "valueFrom": {"secretKeyRef": {"name": "nowhere", "key": "a"}}},
    {"name": "VERSION", "valueFrom": {"configMapKeyRef": {"name": "model-release", "key": "NONE"}}},
)
append(
    "variable-twice",
    "a variable has one value",
    in_containers("env", kind="Rollout"),
    {"name": "MODEL_REPOSITORY", "value": "/other"},
)
change(
    "mount-missing-volume",
    "each mount has its volume",
    in_containers("volumeMounts", 0, "name"),
    "nowhere",
)
change(
    "mount-twice",
    "a path holds one volume",
    in_containers("volumeMounts"),
    lambda mounts: [*mounts, {**mounts[0], "name": mounts[-1]["name"]}],
)
change("restart-for-ever", "a job ends", in_pods("restartPolicy"), "Always")

# Placement.
change(
    "spread-of-others",
    "a spread counts its own pods",
    in_pods("topologySpreadConstraints", "*", "labelSelector", "matchLabels"),
    {"app.kubernetes.io/name": "other"},
)
change(
    "spread-by-wrong-hash",
    "a spread tells revisions apart",
    in_pods("topologySpreadConstraints", "*", "matchLabelKeys"),
    ["pod-template-hash"],
)
change(
    "spread-invalid-skew",
    "the API server accepts the spread",
    in_pods("topologySpreadConstraints", "*", "maxSkew"),
    0,
)
change(
    "spread-without-key",
    "the API server accepts the spread",
    in_pods("topologySpreadConstraints", "*", "topologyKey"),
    GONE,
)
change("gpu-without-toleration", "GPU pods can be scheduled", in_pods("tolerations"), GONE)
change(
    "tolerate-control-plane",
    "nothing runs on the control plane",
    in_pods("tolerations"),
    [
        {"key": "node-role.kubernetes.io/control-plane", "operator": "Exists"},
        {"key": "nvidia.com/gpu", "operator": "Exists"},
    ],
)


@operator("liveness-as-readiness", "an overloaded pod is not killed")
def liveness_as_readiness(index: Index) -> Iterator[Mutation]:
    """Ask for liveness exactly as for readiness."""
    for resource, path in in_containers("livenessProbe")(index):
        probe = field(resource.content, *path[:-1], "readinessProbe")
        if probe and field(resource.content, *path):
            yield Mutation(resource, ((path, probe),))


@operator("drop-spreading", "replicas keep apart from each other")
def drop_spreading(index: Index) -> Iterator[Mutation]:
    """Remove both ways to spread: either alone is enough."""
    for resource, path in outside_dev(in_pods("affinity", "podAntiAffinity"))(index):
        spread = (*path[: path.index("affinity")], "topologySpreadConstraints")
        edits = [(p, GONE) for p in (path, spread) if field(resource.content, *p) is not None]
        yield Mutation(resource, tuple(edits))


@operator("anti-affinity-of-others", "replicas keep apart from each other")
def anti_affinity_of_others(index: Index) -> Iterator[Mutation]:
    """Remove the spread, and let the anti-affinity name other pods: nothing spreads any more."""
    term = ("podAffinityTerm", "labelSelector", "matchLabels")
    weighted = ("podAntiAffinity", "preferredDuringSchedulingIgnoredDuringExecution", 0)
    for resource, path in outside_dev(in_pods("affinity", *weighted, *term))(index):
        spread = (*path[: path.index("affinity")], "topologySpreadConstraints")
        edits: list[tuple[Any, Any]] = [(path, {"app.kubernetes.io/name": "other"})]
        if field(resource.content, *spread) is not None:
            edits.append((spread, GONE))
        yield Mutation(resource, tuple(edits))


# Labels and names.
change(
    "label-mismatch",
    "a workload selects its own pods",
    in_templates("metadata", "labels", "app.kubernetes.io/name"),
    "inferense",
)
change(
    "invalid-label-value",
    "the API server accepts the labels",
    in_templates("metadata", "labels", "app.kubernetes.io/name"),
    "not valid!",
)
change(
    "selector-mismatch",
    "a workload selects its own pods",
    at("argoproj.io/Rollout", "spec", "selector", "matchLabels"),
    {"app": "other"},
)


@operator("misspelled-field", "every field is one that the API knows")
def misspelled_field(index: Index) -> Iterator[Mutation]:
    """Write one field of a spec of each kind with a letter too many."""
    for resource in {r.kind: r for r in index.resources}.values():
        spec = mapping(resource.content, "spec")
        for key in sorted(spec)[:1]:
            edits = ((("spec", f"{key}x"), spec[key]), (("spec", key), GONE))
            yield Mutation(resource, edits)


# Jobs.
CRON = "batch/CronJob"
change("concurrent-jobs", "one job runs at a time", at(CRON, "spec", "concurrencyPolicy"), GONE)
change(
    "job-without-deadline",
    "a job that hangs is ended",
    at(CRON, "spec", "jobTemplate", "spec", "activeDeadlineSeconds"),
    GONE,
)
change(
    "job-start-without-deadline",
    "a missed start is not made up for hours later",
    at(CRON, "spec", "startingDeadlineSeconds"),
    GONE,
)
change(
    "job-start-too-strict",
    "the controller looks every ten seconds",
    at(CRON, "spec", "startingDeadlineSeconds"),
    5,
)
change(
    "job-history-unbounded", "old jobs are removed", at(CRON, "spec", "failedJobsHistoryLimit"), 100
)
change("job-bad-schedule", "the schedule can be read", at(CRON, "spec", "schedule"), "23 25 * * *")
change("job-bad-zone", "the time zone exists", at(CRON, "spec", "timeZone"), "Mars/Olympus")
change(
    "job-retries-for-long",
    "a broken job gives up",
    at(CRON, "spec", "jobTemplate", "spec", "backoffLimit"),
    GONE,
)
change(
    "job-selected-by-service",
    "requests do not reach a job",
    in_templates("metadata", "labels", "app.kubernetes.io/name", kind="CronJob"),
    "inference",
)
