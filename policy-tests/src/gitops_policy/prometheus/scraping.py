"""Scraping: what monitors select, which labels the scrape adds, how often it comes."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from gitops_policy.argo.applications import foreign_namespaces
from gitops_policy.fields import Path, entries, mapping, sequence, text
from gitops_policy.kubernetes.selectors import matches, pods_in, selected
from gitops_policy.model import Resource
from gitops_policy.notations.patterns import matches_whole
from gitops_policy.pods import Pod
from gitops_policy.world import World, once

POD_MONITOR = "monitoring.coreos.com/PodMonitor"
SERVICE_MONITOR = "monitoring.coreos.com/ServiceMonitor"
MONITORS = (SERVICE_MONITOR, POD_MONITOR)
PROMETHEUS = ("monitoring.coreos.com/Prometheus", "monitoring.coreos.com/PrometheusAgent")
# What prometheus-operator writes on every target of a monitor.
_POD_LABELS = frozenset({"namespace", "pod", "container", "endpoint", "job", "instance"})
_SERVICE_LABELS = _POD_LABELS | {"service", "node"}
# Labels that scrapes of a platform usually add besides.
USUAL_LABELS = _SERVICE_LABELS | {"metrics_path", "prometheus", "cluster"}
_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "y": 31536000}
_DURATION = re.compile(r"(?:\d+(?:ms|[smhdwy]))+")


@dataclass(frozen=True)
class Endpoint:
    """One endpoint of a monitor, with its path in it."""

    monitor: Resource
    path: Path
    content: dict[str, Any]

    @property
    def pods(self) -> bool:
        """Whether it is a PodMonitor's."""
        return self.monitor.group_kind == POD_MONITOR

    @cached_property
    def target_labels(self) -> tuple[frozenset[str], bool]:
        """The labels the scrape adds, and whether there may be others."""
        spec = self.monitor.spec
        added = set(_POD_LABELS if self.pods else _SERVICE_LABELS)
        added |= set(map(sanitized, sequence(spec, "podTargetLabels")))
        added |= set() if self.pods else set(map(sanitized, sequence(spec, "targetLabels")))
        return _relabelled(added, [item for _, item in entries(self.content, "relabelings")])

    @cached_property
    def stored_labels(self) -> tuple[frozenset[str], bool]:
        """Further labels that its metric relabelings write, and whether they may write others."""
        return _relabelled(set(), [item for _, item in entries(self.content, "metricRelabelings")])

    @property
    def honors_labels(self) -> bool:
        """Whether a label of the exporter wins over one that the scrape adds."""
        return self.content.get("honorLabels") is True

    @property
    def interval(self) -> float | None:
        """The seconds between two scrapes, None where the Prometheus decides."""
        return seconds(self.content.get("interval"))


def sanitized(label: object) -> str:
    """Return a Kubernetes label as Prometheus names it."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", str(label))


def seconds(duration: object) -> float | None:
    """Read a duration such as 1m30s; None for anything else."""
    if not isinstance(duration, str) or not _DURATION.fullmatch(duration):
        return 0 if duration == "0" else None
    parts = re.findall(r"(\d+)(ms|[smhdwy])", duration)
    return sum(int(number) * _SECONDS[unit] for number, unit in parts)


def _relabelled(
    labels: set[str], relabelings: Iterable[dict[str, Any]]
) -> tuple[frozenset[str], bool]:
    is_open = False
    for item in relabelings:
        action = (text(item, "action") or "replace").lower()
        if action in ("labeldrop", "labelkeep"):
            dropping = action == "labeldrop"
            labels = {name for name in labels if _whole(item, name) is not dropping}
        elif action == "labelmap" or "$" in text(item, "targetLabel"):
            is_open = True
        elif text(item, "targetLabel"):
            labels.add(text(item, "targetLabel"))
    return frozenset(name for name in labels if not name.startswith("__")), is_open


def _whole(relabeling: dict[str, Any], name: str) -> bool:
    return matches_whole(text(relabeling, "regex") or "(.*)", name) is True


def endpoints(monitor: Resource) -> Iterator[Endpoint]:
    """Yield the endpoints of a ServiceMonitor or PodMonitor."""
    name = "podMetricsEndpoints" if monitor.group_kind == POD_MONITOR else "endpoints"
    for i, item in entries(monitor.spec, name):
        yield Endpoint(monitor, ("spec", name, i), item)


def looks_elsewhere(monitor: Resource, world: World) -> bool:
    """Say whether it looks where objects are that no render of this repository holds."""
    made = {resource.namespace for resource in world.index.resources}
    chosen = mapping(monitor.spec, "namespaceSelector")
    watched = set(map(str, sequence(chosen, "matchNames"))) or {monitor.namespace}
    return bool(watched - made or watched & foreign_namespaces(world) or chosen.get("any"))


def pods_scraped(monitor: Resource, world: World) -> list[Pod]:
    """Return the pods of the build that a monitor finds targets in."""
    if monitor.group_kind == POD_MONITOR:
        return [
            pod
            for namespace in watched(monitor, world)
            for pod in pods_in(world, namespace, mapping(monitor.spec, "selector"))
        ]
    return [pod for service in services_scraped(monitor, world) for pod in behind(service, world)]


def watched(monitor: Resource, world: World) -> list[str]:
    """Return the namespaces that a monitor looks for targets in, of those that the build knows."""
    chosen = mapping(monitor.spec, "namespaceSelector")
    if chosen.get("any") is True:
        return list(dict.fromkeys(pod.resource.namespace for pod in world.pods))
    return [str(n) for n in sequence(chosen, "matchNames")] or [monitor.namespace]


@once
def templates_scraped(world: World) -> frozenset[int]:
    """Return the identities of the pod templates that some monitor of the build selects."""
    return frozenset(
        id(pod.template)
        for monitor in world.index.of_kind(*MONITORS)
        for pod in pods_scraped(monitor, world)
    )


def services_scraped(monitor: Resource, world: World) -> list[Resource]:
    """Return the Services that a ServiceMonitor selects, by their own labels."""
    if monitor.group_kind == POD_MONITOR:
        return []
    selector = mapping(monitor.spec, "selector")
    if mapping(monitor.spec, "namespaceSelector").get("any") is True:
        found = world.index.of_kind("Service")
    else:
        spaces = dict.fromkeys(watched(monitor, world))
        found = [s for namespace in spaces for s in _candidates(namespace, selector, world)]
    return [service for service in found if matches(selector, service.labels)]


def _candidates(namespace: str, selector: object, world: World) -> list[Resource]:
    """Return the Services of a namespace with the rarest label that a selector asks for."""
    found = world.index.in_namespace(namespace, "Service")
    for key, value in mapping(selector, "matchLabels").items():
        if isinstance(value, str):
            found = min(found, _labelled(world).get((namespace, key, value), []), key=len)
    return found


@once
def _labelled(world: World) -> dict[tuple[str, str, str], list[Resource]]:
    """Return the Services by namespace and label."""
    found: dict[tuple[str, str, str], list[Resource]] = {}
    for service in world.index.of_kind("Service"):
        for key, value in service.labels.items():
            if isinstance(value, str):
                found.setdefault((service.namespace, key, value), []).append(service)
    return found


def behind(service: Resource, world: World) -> list[Pod]:
    """Return the pods behind a Service; without a selector there are none."""
    chosen = mapping(service.spec, "selector")
    return selected(world, service.namespace, {"matchLabels": chosen}) if chosen else []


@once
def scrape_interval(world: World) -> float | None:
    """Return the shortest interval of a scrape that the build or its Prometheus names."""
    found = [
        endpoint.interval
        for monitor in world.index.of_kind(*MONITORS)
        for endpoint in endpoints(monitor)
    ]
    found += [seconds(p.spec.get("scrapeInterval")) for p in world.index.of_kind(*PROMETHEUS)]
    return min((interval for interval in found if interval), default=None)
