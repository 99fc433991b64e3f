"""Ports on which containers listen."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, mapping
from gitops_policy.kubernetes.selectors import selected
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.world import World

_CHECKLIST = "https://kubernetes.io/docs/concepts/security/security-checklist/"
_DEBUG = "https://kubernetes.io/docs/tasks/debug/debug-application/debug-running-pod/"
_HIGHEST_PRIVILEGED = 1023
_SSH = 22
_SSH_SERVICE = (22, 2222)


@rule(
    id="privileged-port",
    title="Containers listen above port 1023",
    severity="warning",
    rationale="A process needs a capability to listen on a lower port.",
    references=[_CHECKLIST],
    kinds=CONTAINERS,
    known_as="kube-linter:privileged-ports trivy:KSV-0117",
)
def privileged_port(container: Container) -> Iterator[Problem]:
    """Every containerPort is above 1023."""
    for i, port in entries(container.spec, "ports"):
        number = port.get("containerPort")
        if isinstance(number, int) and 0 < number <= _HIGHEST_PRIVILEGED:
            yield container.problem(
                ("ports", i, "containerPort"),
                f"listens on {number}, a privileged port",
                "listen above 1023 and map the port in the Service",
            )


@rule(
    id="ssh-port",
    title="Containers run no SSH",
    severity="warning",
    rationale="SSH in a pod is a way in beside the API, without its audit log.",
    references=[_DEBUG],
    kinds=CONTAINERS,
    known_as="kube-linter:ssh-port kubescape:C-0042",
)
def ssh_port(container: Container) -> Iterator[Problem]:
    """No containerPort is 22 by TCP."""
    for i, port in entries(container.spec, "ports"):
        if port.get("containerPort") == _SSH and port.get("protocol") in (None, "TCP"):
            yield container.problem(
                ("ports", i, "containerPort"), "listens on the SSH port", "use kubectl debug"
            )


@rule(
    id="ssh-service",
    title="No Service leads to SSH in a pod",
    severity="warning",
    rationale="SSH in a pod is a way in beside the API, without its audit log.",
    references=[_DEBUG],
    kinds=["Service"],
    known_as="kubescape:C-0042",
)
def ssh_service(service: Resource, world: World) -> Iterator[Problem]:
    """No Service that selects pods of the build has the port or target port 22 or 2222."""
    selector = mapping(service.spec, "selector")
    if not selector or not selected(world, service.namespace, {"matchLabels": selector}):
        return
    for i, port in entries(service.spec, "ports"):
        for key in ("port", "targetPort"):
            if port.get(key) in _SSH_SERVICE:
                yield service.problem(
                    ("spec", "ports", i, key), f"{key} {port[key]} is SSH", "use kubectl debug"
                )
                break
