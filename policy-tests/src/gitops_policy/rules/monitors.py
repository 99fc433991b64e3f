"""Scraping: monitors select something, on a port that exists, once."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.applications import foreign_namespaces
from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import rule
from gitops_policy.selectors import matches, served
from gitops_policy.world import World

_POD_MONITOR = "monitoring.coreos.com/PodMonitor"
_SERVICE_MONITOR = "monitoring.coreos.com/ServiceMonitor"
_DOCS = "https://prometheus-operator.dev/docs/api-reference/api/"


def _watches(monitor: Resource, namespace: str) -> bool:
    chosen = mapping(monitor.spec, "namespaceSelector")
    if chosen.get("any") is True:
        return True
    return namespace in (sequence(chosen, "matchNames") or [monitor.namespace])


def _unknown(monitor: Resource, world: World) -> bool:
    """Say whether it looks where objects are that no render of this repository holds."""
    made = {resource.namespace for resource in world.index.resources}
    chosen = mapping(monitor.spec, "namespaceSelector")
    watched = set(map(str, sequence(chosen, "matchNames"))) or {monitor.namespace}
    return bool(watched - made or watched & foreign_namespaces(world) or chosen.get("any"))


def _pods(monitor: Resource, world: World) -> list[Pod]:
    return [
        pod
        for pod in world.pods
        if _watches(monitor, pod.resource.namespace)
        and matches(mapping(monitor.spec, "selector"), pod.labels)
    ]


def _services(monitor: Resource, world: World) -> list[Resource]:
    return [
        service
        for service in world.index.of_kind("Service")
        if _watches(monitor, service.namespace)
        and matches(mapping(monitor.spec, "selector"), service.labels)
    ]


@rule(
    id="monitor-selects-something",
    title="A ServiceMonitor or PodMonitor selects something",
    severity="error",
    rationale="A monitor without targets is a dashboard without data and a gate without numbers.",
    references=[_DOCS],
    kinds=[_SERVICE_MONITOR, _POD_MONITOR],
    known_as=["kube-linter:dangling-servicemonitor"],
)
def monitor_selects_something(monitor: Resource, world: World) -> Iterator[Problem]:
    """Services (by their own labels) or pods match, in the namespaces it may look at."""
    found = _pods(monitor, world) if monitor.kind == "PodMonitor" else _services(monitor, world)
    if not found and not _unknown(monitor, world):
        what = "pod template" if monitor.kind == "PodMonitor" else "Service"
        yield monitor.problem(
            ("spec", "selector"), f"no {what} matches", f"select by labels of the {what} itself"
        )


@rule(
    id="monitor-port-exists",
    title="A monitor's port exists on what it selects",
    severity="error",
    rationale="Targets without that port name are dropped, silently.",
    references=[_DOCS],
    kinds=[_SERVICE_MONITOR, _POD_MONITOR],
)
def monitor_port_exists(monitor: Resource, world: World) -> Iterator[Problem]:
    """Each port is the name of a container port (PodMonitor) or Service port (ServiceMonitor)."""
    pod_monitor = monitor.kind == "PodMonitor"
    name = "podMetricsEndpoints" if pod_monitor else "endpoints"
    if pod_monitor:
        ports = {
            text(port, "name")
            for pod in _pods(monitor, world)
            for container in pod.containers
            for _, port in entries(container.spec, "ports")
        }
    else:
        services = _services(monitor, world)
        ports = {text(p, "name") for s in services for _, p in entries(s.spec, "ports")}
    for i, endpoint in entries(monitor.spec, name):
        port = text(endpoint, "port")
        if port and ports and port not in ports:
            yield monitor.problem(
                ("spec", name, i, "port"),
                f"nothing that it selects has a port named {port!r}",
                f"use one of {', '.join(sorted(ports))}",
            )


@rule(
    id="monitor-scrapes-once",
    title="A pod is scraped once",
    severity="error",
    rationale=(
        "After a promotion canary and stable Service select the same pods: every series twice."
    ),
    references=[_DOCS],
    kinds=[_SERVICE_MONITOR],
)
def monitor_scrapes_once(monitor: Resource, world: World) -> Iterator[Problem]:
    """No two of the Services that a ServiceMonitor selects have the same pods."""
    seen: dict[int, str] = {}
    for service in _services(monitor, world):
        for pod in served(world, service.namespace, service.spec):
            other = seen.setdefault(id(pod), service.name)
            if other != service.name:
                yield monitor.problem(
                    ("spec", "selector"),
                    f"Services {other!r} and {service.name!r} lead to the same pods",
                    "use one PodMonitor",
                )


@rule(
    id="monitor-keeps-revision",
    title="Metrics of a Rollout tell canary and stable apart",
    severity="error",
    rationale="Without rollouts_pod_template_hash every gate query of the canary has no data.",
    references=[_DOCS, "https://argoproj.github.io/argo-rollouts/features/analysis/"],
    kinds=[_POD_MONITOR],
)
def monitor_keeps_revision(monitor: Resource, world: World) -> Iterator[Problem]:
    """A PodMonitor of a Rollout's pods copies the label rollouts-pod-template-hash."""
    copied = field(monitor.spec, "podTargetLabels") or []
    watched = [p for p in _pods(monitor, world) if p.resource.kind == "Rollout"]
    if watched and "rollouts-pod-template-hash" not in copied:
        yield monitor.problem(
            ("spec", "podTargetLabels"),
            "rollouts-pod-template-hash is not copied to the series",
            "add it to podTargetLabels",
        )
