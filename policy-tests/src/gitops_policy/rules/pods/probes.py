"""Probes: each server says when it is ready and whether it lives."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import entries, field, mapping, sequence
from gitops_policy.kubernetes.selectors import services_of
from gitops_policy.model import Problem
from gitops_policy.pods import PROBES, Container
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.world import World

_PROBES = "https://kubernetes.io/docs/concepts/configuration/liveness-readiness-startup-probes/"
_HANDLERS = ("httpGet", "tcpSocket", "grpc", "exec")
_POOR_PROGRAMS = frozenset({"jcmd", "ls", "ps"})


@rule(
    id="readiness-probe",
    title="Containers behind a Service have a readiness probe",
    severity="error",
    rationale="Without it traffic reaches a pod that has not loaded its model.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:no-readiness-probe kube-score:pod-probes polaris:readinessProbeMissing "
        "checkov:CKV_K8S_9 kubescape:C-0018 datree:12 gatekeeper:requiredprobes"
    ),
)
def readiness_probe(container: Container, world: World) -> Iterator[Problem]:
    """Each container of a pod that a Service selects has its own probe; one per pod is not enough.

    A sidecar needs one if it declares ports.
    """
    serves = container.long_running and (not container.sidecar or container.spec.get("ports"))
    missing = serves and not container.spec.get("readinessProbe")
    if missing and services_of(container.pod, world):
        yield container.problem(
            ("readinessProbe",), "has no readiness probe", "add a readinessProbe"
        )


@rule(
    id="readiness-probe-everywhere",
    title="Long-running containers have a readiness probe",
    severity="info",
    rationale="The Service may stand in another repository. Off by default: where there is none, "
    "nothing waits for readiness but the rollout.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:no-readiness-probe polaris:readinessProbeMissing checkov:CKV_K8S_9 "
        "kubescape:C-0018 datree:12 gatekeeper:requiredprobes"
    ),
    default=False,
)
def readiness_probe_everywhere(container: Container, world: World) -> Iterator[Problem]:
    """Each ordinary container that no Service of the build selects has a probe as well."""
    missing = _serves_without(container, "readinessProbe")
    if missing and not services_of(container.pod, world):
        yield container.problem(
            ("readinessProbe",), "has no readiness probe", "add a readinessProbe"
        )


def _serves_without(container: Container, *probes: str) -> bool:
    ordinary = container.long_running and not container.sidecar
    return ordinary and not any(container.spec.get(probe) for probe in probes)


@rule(
    id="liveness-probe",
    title="Long-running containers have a liveness probe",
    severity="warning",
    rationale="A process that hangs is restarted only if somebody asks whether it lives.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as=(
        "kube-linter:no-liveness-probe kube-score:pod-probes polaris:livenessProbeMissing "
        "checkov:CKV_K8S_8 kubescape:C-0056 datree:11 gatekeeper:requiredprobes"
    ),
)
def liveness_probe(container: Container) -> Iterator[Problem]:
    """Each ordinary container of a long-running pod has a probe."""
    if _serves_without(container, "livenessProbe"):
        yield container.problem(("livenessProbe",), "has no liveness probe", "add a livenessProbe")


@rule(
    id="startup-probe",
    title="Long-running containers have a startup probe",
    severity="info",
    rationale="It keeps the liveness probe away while a model loads; fast servers need none.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as="kube-linter:no-startup-probe",
    default=False,
)
def startup_probe(container: Container) -> Iterator[Problem]:
    """Each ordinary container of a long-running pod has a probe."""
    if _serves_without(container, "startupProbe"):
        yield container.problem(("startupProbe",), "has no startup probe", "add a startupProbe")


@rule(
    id="some-probe",
    title="Long-running containers have a probe of some kind",
    severity="warning",
    rationale="Without any probe Kubernetes only knows that the process has not ended. Off by "
    "default: readiness-probe and liveness-probe ask for more.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as="kyverno:require-probes",
    default=False,
)
def some_probe(container: Container) -> Iterator[Problem]:
    """One of livenessProbe, readinessProbe and startupProbe is there."""
    if _serves_without(container, *PROBES):
        yield container.problem((), "has no probe", "add a readinessProbe")


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
    defaults: dict[str, dict[str, Any]] = {
        "httpGet": {"path": "/", "scheme": "HTTP"},
        "grpc": {"service": ""},
    }
    for name in _HANDLERS:
        handler = mapping(probe, name)
        if handler:
            port = _number(container, handler.get("port"))
            return {"handler": name, **defaults.get(name, {}), **handler, "port": port}
    return None


def _number(container: Container, port: object) -> object:
    """Return the number behind a port's name."""
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
    known_as=(
        "kube-linter:liveness-port kube-linter:readiness-port kube-linter:startup-port "
        "kube-linter:probe-port"
    ),
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
    id="probe-command",
    title="Probes run programs that ask the server",
    severity="warning",
    rationale="`ps` and `ls` succeed while the server hangs, and each probe starts a process.",
    references=[_PROBES],
    kinds=CONTAINERS,
    known_as="kyverno:deny-commands-in-exec-probe",
)
def probe_command(container: Container, world: World) -> Iterator[Problem]:
    """Exec probes run only the setting's `probe_commands`; unset, liveness not jcmd, ls or ps."""
    allowed = world.config.probe_commands
    for probe in PROBES if allowed else ("livenessProbe",):
        command = sequence(container.spec, probe, "exec", "command")
        words = [word for word in command if isinstance(word, str)]
        if allowed:
            poor = [program for program in _programs(words) if program not in allowed]
        else:
            poor = [w for w in (*_programs(words), *_mentioned(words)) if w in _POOR_PROGRAMS]
        if poor:
            yield container.problem(
                (probe, "exec", "command"),
                f"{probe} runs {', '.join(dict.fromkeys(poor))}",
                f"run {' or '.join(allowed)}" if allowed else "ask the server over HTTP or gRPC",
            )


def _mentioned(command: list[str]) -> list[str]:
    """Return the bare words of a command line, without the values of its flags."""
    own = [
        part
        for before, part in zip(["", *command], command, strict=False)
        if not (before.startswith("-") and part.isalnum())
    ]
    return [word for part in own for word in re.split(r"[\s|&;()`$\"']+", part)]


def _programs(command: list[str]) -> list[str]:
    """Return the programs of a command line; those of its script where a shell runs one."""
    script = next((i for i, word in enumerate(command) if re.fullmatch(r"-[a-z]*c", word)), None)
    if not command:
        return []
    shell = re.fullmatch(r"(?:.*/)?(?:ba|da|a|z|k)?sh", command[0])
    if not shell or script is None:
        return [command[0].rpartition("/")[2]]
    lines = re.split(r"\|\|?|&&?|;|\n|\$\(|`|\(", " ".join(command[script + 1 : script + 2]))
    first = (re.findall(r"[^\s()'\"!]+", line) for line in lines)
    return [words[0].rpartition("/")[2] for words in first if words]
