"""Probes, restart policies and container ports."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import entries, field, mapping, text
from gitops_policy.kinds import POD_TEMPLATES
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Container, Pod, pods
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.rules.pod_security_node import PROBES
from gitops_policy.world import World

_PROBES = "https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/"
_PORTS = "https://kubernetes.io/docs/concepts/services-networking/service/#multi-port-services"
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_PORT_NAME = 15
_HANDLERS = ("httpGet", "tcpSocket", "grpc", "exec")
_JOBS = (
    "batch/Job",
    "batch/CronJob",
    "argoproj.io/AnalysisTemplate",
    "argoproj.io/ClusterAnalysisTemplate",
    "keda.sh/ScaledJob",
)


def _behind_a_service(pod: Pod, world: World) -> bool:
    for service in world.index.of_kind("Service"):
        selector = mapping(service.spec, "selector")
        same = service.namespace == pod.resource.namespace
        if selector and same and selector.items() <= pod.labels.items():
            return True
    return False


@rule(
    id="readiness-probe",
    title="Containers behind a Service have a readiness probe",
    severity="error",
    rationale="Without it traffic reaches a pod that has not loaded its model.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:no-readiness-probe kube-score:pod-probes polaris:readinessProbeMissing "
        "checkov:CKV_K8S_9 kubescape:C-0018 datree:12 kyverno:require-probes "
        "gatekeeper:requiredprobes"
    ),
)
def readiness_probe(container: Container, world: World) -> Iterator[Problem]:
    """Each container of a pod that a Service selects has its own probe; one per pod is not enough.

    A sidecar needs one if it declares ports.
    """
    serves = container.long_running and (not container.sidecar or container.spec.get("ports"))
    missing = serves and not container.spec.get("readinessProbe")
    if missing and _behind_a_service(container.pod, world):
        yield container.problem(
            ("readinessProbe",), "has no readiness probe", "add a readinessProbe"
        )


@rule(
    id="liveness-probe",
    title="Long-running containers have a liveness probe",
    severity="warning",
    rationale="A process that hangs is restarted only if somebody asks whether it lives.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:no-liveness-probe kube-score:pod-probes polaris:livenessProbeMissing "
        "checkov:CKV_K8S_8 kubescape:C-0056 datree:11 kyverno:require-probes "
        "gatekeeper:requiredprobes"
    ),
)
def liveness_probe(container: Container) -> Iterator[Problem]:
    """Each ordinary container of a long-running pod has a probe."""
    needed = container.long_running and not container.sidecar
    if needed and not container.spec.get("livenessProbe"):
        yield container.problem(("livenessProbe",), "has no liveness probe", "add a livenessProbe")


@rule(
    id="probes-identical",
    title="Liveness is not as strict as readiness",
    severity="error",
    rationale="If both fail together, a pod that is only overloaded is killed.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as="kube-score:pod-probes-identical kyverno:ensure-probes-different",
)
def probes_identical(container: Container) -> Iterator[Problem]:
    """With the same question, liveness waits longer than readiness before it fails."""
    liveness = mapping(container.spec, "livenessProbe")
    readiness = mapping(container.spec, "readinessProbe")
    asks = _question(container, liveness)
    same = asks is not None and asks == _question(container, readiness)
    if same and _patience(liveness) <= _patience(readiness):
        yield container.problem(
            ("livenessProbe",),
            "the liveness probe asks what the readiness probe asks and fails as early",
            "ask another endpoint, or raise the liveness failureThreshold",
        )


def _question(container: Container, probe: dict[str, Any]) -> dict[str, Any] | None:
    """Return the probe's handler with defaults and its port as a number."""
    for name in _HANDLERS:
        handler = mapping(probe, name)
        if handler:
            defaults: dict[str, Any] = {"path": "/", "scheme": "HTTP"} if name == "httpGet" else {}
            port = _number(container, handler.get("port"))
            return {"handler": name, **defaults, **handler, "port": port}
    return None


def _number(container: Container, port: object) -> object:
    named = (p for _, p in entries(container.spec, "ports") if p.get("name") == port)
    return next((p.get("containerPort") for p in named), port)


def _patience(probe: dict[str, Any]) -> float:
    period, failures = probe.get("periodSeconds", 10), probe.get("failureThreshold", 3)
    if not isinstance(period, int) or not isinstance(failures, int):
        return 0
    return period * failures


@rule(
    id="probe-port",
    title="Probes ask a port that the container declares",
    severity="error",
    rationale="A probe of a port nobody listens on never passes, or passes for the wrong reason.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as="kube-linter:liveness-port kube-linter:readiness-port kube-linter:startup-port",
)
def probe_port(container: Container) -> Iterator[Problem]:
    """Each probe's port is the number or name of one of the container's ports."""
    declared = {
        value
        for _, port in entries(container.spec, "ports")
        for value in (port.get("containerPort"), port.get("name"))
        if isinstance(value, int | str)
    }
    for probe in PROBES:
        for handler in ("httpGet", "tcpSocket", "grpc"):
            port = field(container.spec, probe, handler, "port")
            if isinstance(port, int | str) and port not in declared:
                yield container.problem(
                    (probe, handler, "port"),
                    f"{probe} asks port {port!r}, which the container does not declare",
                    f"declare it under ports; declared: {sorted(map(str, declared)) or 'none'}",
                )


@rule(
    id="probe-timing",
    title="Probes say how often, how long and how many times",
    severity="info",
    rationale="The defaults (1 s timeout, 3 failures) were chosen for nobody's service.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as="datree:55 datree:56 datree:57 datree:58 datree:59",
)
def probe_timing(container: Container) -> Iterator[Problem]:
    """`periodSeconds`, `timeoutSeconds` and `failureThreshold` are explicit."""
    for probe in PROBES:
        content = mapping(container.spec, probe)
        for key in ("periodSeconds", "timeoutSeconds", "failureThreshold"):
            if content and content.get(key) is None:
                yield container.problem(
                    (probe, key), f"{probe} leaves {key} to the default", f"set {key}"
                )


@rule(
    id="restart-policy",
    title="The restart policy fits the kind",
    severity="error",
    rationale="The API server refuses the object, mostly long after the merge.",
    references=["https://kubernetes.io/docs/concepts/workloads/pods/pod-lifecycle/#restart-policy"],
    kinds=[kind for kind in POD_TEMPLATES if kind not in ("Pod", "PodTemplate")],
    known_as="kube-linter:restart-policy kube-score:cronjob-restartpolicy datree:10",
)
def restart_policy(resource: Resource) -> Iterator[Problem]:
    """Jobs say Never or OnFailure; everything else is Always."""
    for pod in pods(resource):
        policy = pod.spec.get("restartPolicy")
        if resource.group_kind in _JOBS:
            allowed: tuple[object, ...] = ("Never", "OnFailure")
        else:
            allowed = (None, "Always")
        if policy not in allowed:
            yield pod.problem(
                ("restartPolicy",),
                f"restartPolicy {policy!r} is not allowed for {resource.kind}",
                f"use {allowed[-1]}",
            )


@rule(
    id="container-ports",
    title="Container and Service ports are valid and unique",
    severity="error",
    rationale="A wrong or double name makes a Service or a probe reach another port.",
    references=[_PORTS],
    kinds=[*POD_TEMPLATES, "Service"],
    known_as=(
        "kube-score:container-ports-check kube-linter:invalid-target-ports "
        "kyverno:require-container-port-names"
    ),
)
def container_ports(resource: Resource) -> Iterator[Problem]:
    """Numbers are 1 to 65535, names are service names of at most 15 characters, none twice."""
    for pod in pods(resource):
        seen: set[tuple[object, ...]] = set()
        for container in pod.containers:
            alone = container.group == "initContainers" and not container.sidecar
            taken = set() if alone else seen
            for i, port in entries(container.spec, "ports"):
                for key, message in _port_problems(port, "containerPort", taken):
                    yield container.problem(("ports", i, key), message, "rename or renumber it")
    if resource.group_kind == "Service":
        yield from _service_ports(resource)


def _service_ports(service: Resource) -> Iterator[Problem]:
    ports = entries(service.spec, "ports")
    seen: set[tuple[object, ...]] = set()
    for i, port in ports:
        for key, message in _port_problems(port, "port", seen):
            yield service.problem(("spec", "ports", i, key), message, "rename or renumber it")
        if len(ports) > 1 and not text(port, "name"):
            message = "a Service with several ports must name each"
            yield service.problem(("spec", "ports", i, "name"), message, "add a name")
        target = port.get("targetPort")
        if isinstance(target, str) and not _is_port_name(target):
            message = f"targetPort {target!r} is no valid port name"
            yield service.problem(("spec", "ports", i, "targetPort"), message, "name the port")


def _port_problems(
    port: dict[str, Any], key: str, seen: set[tuple[object, ...]]
) -> Iterator[tuple[str, str]]:
    number, name = port.get(key), port.get("name")
    if not isinstance(number, int) or not 0 < number < 65536:
        yield key, f"{key} {number!r} is not between 1 and 65535"
    elif (str(number), str(port.get("protocol", "TCP"))) in seen:
        yield key, f"{key} {number} stands twice"
    if name is not None and not (isinstance(name, str) and _is_port_name(name)):
        yield "name", f"port name {name!r} is not up to 15 lower-case letters, digits and dashes"
    elif name is not None and ("name", name) in seen:
        yield "name", f"port name {name!r} stands twice"
    seen |= {(str(number), str(port.get("protocol", "TCP"))), ("name", str(name))}


def _is_port_name(name: str) -> bool:
    return len(name) <= _LONGEST_PORT_NAME and _PORT_NAME.fullmatch(name) is not None
