"""Pod-template views: every carrier alike, with the inheritance of Kubernetes."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

from gitops_policy.apis.kinds import FURTHER_TEMPLATES, LONG_RUNNING, POD_TEMPLATES
from gitops_policy.fields import Path, Step, entries, field, mapping, sequence, text
from gitops_policy.findings import Severity
from gitops_policy.model import Index, Problem, Resource

GROUPS = ("initContainers", "containers", "ephemeralContainers")
PROBES = ("livenessProbe", "readinessProbe", "startupProbe")


class Pod:
    """One pod template inside an object; `path` leads to the template."""

    def __init__(self, resource: Resource, path: Path, template: dict[str, Any]) -> None:
        self.resource = resource
        self.path = path
        self.template = template
        self.spec = mapping(template, "spec")

    @property
    def labels(self) -> dict[str, Any]:
        """Labels of the pods."""
        return mapping(self.template, "metadata", "labels")

    @property
    def annotations(self) -> dict[str, Any]:
        """Annotations of the pods."""
        return mapping(self.template, "metadata", "annotations")

    @property
    def windows(self) -> bool:
        """Whether the pod declares `os.name: windows`."""
        return text(self.spec, "os", "name") == "windows"

    @property
    def long_running(self) -> bool:
        """Whether it is restarted for as long as its carrier exists."""
        if self.resource.group_kind == "Pod":
            return self.spec.get("restartPolicy") in (None, "Always")
        return self.resource.group_kind in LONG_RUNNING

    @property
    def security_context(self) -> dict[str, Any]:
        """The pod-level security context."""
        return mapping(self.spec, "securityContext")

    @cached_property
    def containers(self) -> list[Container]:
        """Init, ordinary and ephemeral containers, in this order."""
        return [
            Container(self, group, position, spec)
            for group in GROUPS
            for position, spec in entries(self.spec, group)
        ]

    @property
    def volumes(self) -> list[tuple[int, dict[str, Any]]]:
        """The volumes with their positions."""
        return entries(self.spec, "volumes")

    def at(self, *path: Step) -> Path:
        """Return the full path of a field of the pod spec."""
        return (*self.path, "spec", *path)

    def problem(
        self, path: Path, message: str, fix: str = "", *, severity: Severity | None = None
    ) -> Problem:
        """Describe what is wrong at `path`, counted from the pod spec."""
        return Problem(self.resource, self.at(*path), message, fix, severity)


class Container:
    """One container of a pod; `group` is the field of the pod spec it stands in."""

    def __init__(self, pod: Pod, group: str, position: int, spec: dict[str, Any]) -> None:
        self.pod = pod
        self.group = group
        self.position = position
        self.spec = spec
        self.name = text(spec, "name") or f"{group}[{position}]"

    @property
    def resource(self) -> Resource:
        """The object that carries the pod."""
        return self.pod.resource

    @property
    def sidecar(self) -> bool:
        """Whether it is an init container that keeps running."""
        return self.group == "initContainers" and self.spec.get("restartPolicy") == "Always"

    @property
    def long_running(self) -> bool:
        """Whether it serves as long as its pod does, in a pod that is kept running."""
        return self.pod.long_running and (self.group == "containers" or self.sidecar)

    @property
    def security_context(self) -> dict[str, Any]:
        """The container's own security context."""
        return mapping(self.spec, "securityContext")

    def inherited(self, *path: Step) -> Any:
        """Return a security-context field; the container's own value wins over the pod's."""
        own = field(self.security_context, *path)
        return own if own is not None else field(self.pod.security_context, *path)

    def at(self, *path: Step) -> Path:
        """Return the full path of a field of the container."""
        return self.pod.at(self.group, self.position, *path)

    def problem(
        self, path: Path, message: str, fix: str = "", *, severity: Severity | None = None
    ) -> Problem:
        """Describe what is wrong at `path`, counted from the container."""
        shown = f"container {self.name!r}: {message}"
        return Problem(self.resource, self.at(*path), shown, fix, severity, None, self.name)


def pods(resource: Resource) -> list[Pod]:
    """Return the pod templates that stand in this object (none for a workloadRef)."""
    kind = resource.group_kind
    return [
        Pod(resource, path, template)
        for where in (POD_TEMPLATES.get(kind), FURTHER_TEMPLATES.get(kind))
        if where is not None
        for path, template in _expand(resource.content, where)
    ]


def carrier_of(resource: Resource, index: Index) -> Resource | None:
    """Return the object that holds the template of the pods this object runs.

    It is the object itself, or what a Rollout's workloadRef refers to, None where that is missing.
    """
    reference = mapping(resource.spec, "workloadRef")
    if not reference or resource.group_kind != "argoproj.io/Rollout" or pods(resource):
        return resource
    group = text(reference, "apiVersion").rpartition("/")[0]
    kind = text(reference, "kind")
    return index.get(
        f"{group}/{kind}" if group else kind, resource.namespace, text(reference, "name")
    )


def pods_of(resource: Resource, index: Index) -> list[Pod]:
    """Return the templates of the pods this object runs; a Rollout's workloadRef is followed."""
    carrier = carrier_of(resource, index)
    return pods(carrier) if carrier else []


def _expand(value: object, where: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    for number, step in enumerate(where):
        if step == "*":
            for position, item in enumerate(sequence(value)):
                for path, found in _expand(item, where[number + 1 :]):
                    yield (*where[:number], position, *path), found
            return
        value = field(value, step)
    if isinstance(value, dict):
        yield where, value
