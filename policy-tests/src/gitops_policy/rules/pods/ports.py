"""Ports of containers and Services: valid, unique, named."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from gitops_policy.apis.kinds import POD_TEMPLATES
from gitops_policy.fields import entries, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.names import label_fault
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.world import World

_PORTS = "https://kubernetes.io/docs/concepts/services-networking/service/#multi-port-services"
_PORT_NAME = re.compile(r"(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*")
_LONGEST_PORT_NAME = 15


@rule(
    id="container-ports",
    title="Container and Service ports are valid and unique",
    severity="error",
    rationale="A wrong or double name makes a Service or a probe reach another port.",
    references=[_PORTS],
    kinds=[*POD_TEMPLATES, "Service"],
    known_as="kube-score:container-ports-check kube-linter:invalid-target-ports",
)
def container_ports(resource: Resource, world: World) -> Iterator[Problem]:
    """Numbers are 1 to 65535, names of containers' ports have at most 15 characters, none twice."""
    for pod in world.templates_in(resource):
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
        elif isinstance(target, int) and not 0 < target < 65536:
            message = f"targetPort {target} is not between 1 and 65535"
            yield service.problem(("spec", "ports", i, "targetPort"), message, "renumber it")


def _port_problems(
    port: dict[str, Any], key: str, seen: set[tuple[object, ...]]
) -> Iterator[tuple[str, str]]:
    number, name = port.get(key), port.get("name")
    if not isinstance(number, int) or not 0 < number < 65536:
        yield key, f"{key} {number!r} is not between 1 and 65535"
    elif (str(number), str(port.get("protocol", "TCP"))) in seen:
        yield key, f"{key} {number} stands twice"
    if name is not None and not (isinstance(name, str) and _NAMES[key](name)):
        yield "name", f"port name {name!r} is not {_SYNTAX[key]}"
    elif name is not None and ("name", name) in seen:
        yield "name", f"port name {name!r} stands twice"
    seen |= {(str(number), str(port.get("protocol", "TCP"))), ("name", str(name))}


def _is_port_name(name: str) -> bool:
    return len(name) <= _LONGEST_PORT_NAME and _PORT_NAME.fullmatch(name) is not None


# A container's port is named like a service of IANA, a Service's like a host.
_NAMES: dict[str, Callable[[str], bool]] = {
    "containerPort": _is_port_name,
    "port": lambda name: not label_fault(name),
}
_SYNTAX = {
    "containerPort": "up to 15 lower-case letters, digits and dashes, one letter at least",
    "port": "up to 63 lower-case letters, digits and dashes",
}


@rule(
    id="container-port-named",
    title="Container ports have names",
    severity="info",
    rationale="Of taste: a Service that refers to a name survives a change of the number.",
    references=[_PORTS],
    kinds=CONTAINERS,
    known_as="kyverno:require-container-port-names",
    default=False,
)
def container_port_named(container: Container) -> Iterator[Problem]:
    """Each port of an ordinary container or sidecar has a name."""
    if container.group == "containers" or container.sidecar:
        for i, port in entries(container.spec, "ports"):
            if not text(port, "name"):
                number = port.get("containerPort")
                message = f"port {number} has no name"
                yield container.problem(("ports", i, "name"), message, "name it after its protocol")
