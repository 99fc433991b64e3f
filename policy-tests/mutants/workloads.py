"""Promises about images, resources, probes, shutdown and configuration of pods."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import field, mapping, text
from gitops_policy.model import Index

from mutants.mutation import (
    GONE,
    Mutation,
    add,
    append,
    at,
    change,
    in_containers,
    in_pods,
    in_templates,
    operator,
    outside_dev,
)

DIGEST = "sha256:" + "0123456789abcdef" * 4


def tagged(tag: str) -> Any:
    """Return a change of an image: the same repository, this tag instead of the digest."""
    return lambda image: image.partition("@")[0] + tag


def scaled(factor: str) -> Any:
    """Return a change of a quantity to a fixed, absurd amount of the same resource."""
    return lambda _: factor


# Images.
change("image-latest", "the image cannot change", in_containers("image"), tagged(":latest"))
change("image-untagged", "the image cannot change", in_containers("image"), tagged(""))
change("image-by-tag", "the image cannot change", in_containers("image"), tagged(":v1.2.3"))
change("image-cut-digest", "the digest is whole", in_containers("image"), lambda i: i[:-8])
change("image-invalid", "the image can be pulled", in_containers("image"), lambda i: i.upper())
change(
    "image-swapped-digest",
    "one release has one image",
    in_containers("image", kind="Rollout"),
    tagged("@" + DIGEST),
)
change(
    "image-of-retired-registry",
    "the registry still answers",
    in_containers("image"),
    lambda i: "k8s.gcr.io/pause@" + i.partition("@")[2],
)
change("never-pull", "a new node can start the image", in_containers("imagePullPolicy"), "Never")

# Resources.
for _name in ("memory", "ephemeral-storage"):
    change(
        f"drop-{_name}-limit",
        f"{_name} is limited",
        in_containers("resources", "limits", _name),
        GONE,
    )


@operator("drop-cpu", "a container is given time")
def drop_cpu(index: Index) -> Iterator[Mutation]:
    """Drop the request with the limit, which would stand in for it.

    The namespace's LimitRange fills in enough for the fetcher and the job, too little here.
    """
    for resource, path in in_containers("resources", group="containers", kind="Rollout")(index):
        edits = [
            ((*path, kind, "cpu"), GONE)
            for kind in ("requests", "limits")
            if field(resource.content, *path, kind, "cpu") is not None
        ]
        yield Mutation(resource, tuple(edits))


change("drop-resources", "resources are set", in_containers("resources"), GONE)
change(
    "memory-limit-above-request",
    "memory is guaranteed",
    in_containers("resources", "limits", "memory"),
    scaled("16Gi"),
)
change(
    "request-above-limit",
    "a request fits its limit",
    in_containers("resources", "requests", "cpu"),
    scaled("9"),
)
change(
    "malformed-quantity",
    "amounts can be read",
    in_containers("resources", "requests", "memory"),
    "4GB",
)
change(
    "millibytes",
    "memory is not measured in thousandths of a byte",
    in_containers("resources", "limits", "memory"),
    "512m",
)
change(
    "gpu-request-differs",
    "a GPU is requested whole",
    in_containers("resources", "requests", "nvidia.com/gpu"),
    2,
)
change(
    "gpu-fraction",
    "a GPU is requested whole",
    in_containers("resources", "limits", "nvidia.com/gpu"),
    "500m",
)
change(
    "gpu-without-limit",
    "a GPU stands in the limits",
    in_containers("resources", "limits", "nvidia.com/gpu"),
    GONE,
)
change(
    "volume-above-storage-limit",
    "a volume fits the storage limit",
    in_pods("volumes", "*", "emptyDir", "sizeLimit"),
    "40Gi",
)


@operator("see-all-gpus", "a pod without a GPU sees none")
def see_all_gpus(index: Index) -> Iterator[Mutation]:
    """Set NVIDIA_VISIBLE_DEVICES to all where it is void."""
    for resource, path in in_containers("env", "*")(index):
        if text(resource.content, *path, "name") == "NVIDIA_VISIBLE_DEVICES":
            yield Mutation(resource, (((*path, "value"), "all"),))


# Probes.
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
for _probe in PROBES:
    _short = _probe.removesuffix("Probe")
    change(
        f"drop-{_short}-probe",
        f"the {_short} of a server is asked for",
        in_containers(_probe),
        GONE,
    )
    change(
        f"{_short}-of-unknown-port",
        "a probe asks a port that is there",
        in_containers(_probe, "httpGet", "port"),
        "admin",
        9999,
    )
    add(
        f"{_short}-of-another-host",
        "a probe asks its own pod",
        in_containers(_probe, "httpGet", "host"),
        "169.254.169.254",
    )
change(
    "readiness-slower-than-period",
    "an answer fits the period",
    in_containers("readinessProbe", "timeoutSeconds"),
    30,
)
change(
    "liveness-slower-than-period",
    "an answer fits the period",
    in_containers("livenessProbe", "timeoutSeconds"),
    30,
)
change(
    "startup-beyond-deadline",
    "a start is over before the deadline",
    in_containers("startupProbe", "failureThreshold"),
    900,
)
add(
    "liveness-needs-two-successes",
    "the API server accepts the probe",
    in_containers("livenessProbe", "successThreshold"),
    2,
)
change(
    "probe-two-ways",
    "a probe has one way to ask",
    in_containers("readinessProbe"),
    lambda probe: {**probe, "tcpSocket": {"port": 8080}},
)

# Ports.
change(
    "rename-port",
    "ports have the names that others use",
    in_containers("ports", "*", "name"),
    "web",
)
change(
    "invalid-port-name",
    "the API server accepts the port",
    in_containers("ports", "*", "name"),
    "HTTP_PORT_OF_SERVER",
)
append(
    "port-name-twice",
    "a port name means one port",
    in_containers("ports"),
    {"name": "http", "containerPort": 8081},
)
append("ssh-port", "nobody logs in", in_containers("ports"), {"name": "ssh", "containerPort": 22})

# Shutdown.
change(
    "shorter-grace-period",
    "a server has time to stop",
    in_pods("terminationGracePeriodSeconds"),
    20,
    GONE,
)
change("drop-pre-stop", "routes are gone before the server is", in_containers("lifecycle"), GONE)
change(
    "long-pre-stop",
    "stopping fits the grace period",
    in_containers("lifecycle", "preStop", "sleep", "seconds"),
    55,
)


@operator("longer-drain", "stopping fits the grace period")
def longer_drain(index: Index) -> Iterator[Mutation]:
    """Let the server take more seconds to stop than it is given."""
    for resource, path in in_containers("env", "*")(index):
        if text(resource.content, *path, "name") == "SHUTDOWN_SECONDS":
            yield Mutation(resource, (((*path, "value"), "300"),))


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
