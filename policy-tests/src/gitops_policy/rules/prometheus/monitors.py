"""Scraping: monitors select something, on a port that exists and is open, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.argo.analyses import analyses
from gitops_policy.fields import Path, entries, field, sequence, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.flows import blocked, pod_end
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.prometheus.prometheus_pods import prometheus_ends
from gitops_policy.prometheus.scraping import (
    MONITORS,
    POD_MONITOR,
    SERVICE_MONITOR,
    Endpoint,
    behind,
    endpoints,
    looks_elsewhere,
    pods_scraped,
    seconds,
    services_scraped,
)
from gitops_policy.registry import rule
from gitops_policy.world import World, once

_DOCS = "https://prometheus-operator.dev/docs/api-reference/api/"
_TROUBLE = "https://prometheus-operator.dev/docs/platform/troubleshooting/"
_POLICIES = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"


@rule(
    id="monitor-selects-something",
    title="A ServiceMonitor or PodMonitor selects something",
    severity="error",
    rationale="A monitor without targets is a dashboard without data and a gate without numbers.",
    references=[_DOCS],
    kinds=MONITORS,
    known_as=["kube-linter:dangling-servicemonitor"],
    needs_whole=True,
)
def monitor_selects_something(monitor: Resource, world: World) -> Iterator[Problem]:
    """Services (by their own labels) or pods match, in the namespaces it may look at."""
    by_pod = monitor.group_kind == POD_MONITOR
    if by_pod and not world.pods:
        return
    found = pods_scraped(monitor, world) if by_pod else services_scraped(monitor, world)
    if not found and not looks_elsewhere(monitor, world):
        what = "pod template" if by_pod else "Service"
        yield monitor.problem(
            ("spec", "selector"), f"no {what} matches", f"select by labels of the {what} itself"
        )


@rule(
    id="monitor-port-exists",
    title="A monitor's port exists on what it selects",
    severity="error",
    rationale="Targets without that port name are dropped, silently.",
    references=[_DOCS, _TROUBLE],
    kinds=MONITORS,
)
def monitor_port_exists(monitor: Resource, world: World) -> Iterator[Problem]:
    """`port` is the name of a container port (PodMonitor) or Service port (ServiceMonitor).

    `targetPort` of a ServiceMonitor and `portNumber` of a PodMonitor are container ports.
    """
    ports = [port for pod in pods_scraped(monitor, world) for port in _container_ports(pod)]
    names: set[Any] = {text(port, "name") for port in ports}
    numbers = [field(port, "containerPort") for port in ports]
    inner = names | {number for number in numbers if isinstance(number, int)}
    outer = {
        text(port, "name")
        for service in services_scraped(monitor, world)
        for _, port in entries(service.spec, "ports")
    }
    for endpoint in endpoints(monitor):
        named = names if endpoint.pods else outer
        for name, known in (("port", named), ("targetPort", inner), ("portNumber", inner)):
            port = endpoint.content.get(name)
            if port and known - {""} and not _listed(port, known):
                shown = ", ".join(sorted(str(one) for one in known if one))
                yield monitor.problem(
                    (*endpoint.path, name),
                    f"nothing that it selects has a port {port!r}",
                    f"use one of {shown}",
                )


def _listed(port: object, known: set[Any]) -> bool:
    return not isinstance(port, str | int) or port in known


def _container_ports(pod: Pod) -> Iterator[dict[str, Any]]:
    for container in pod.containers:
        yield from (port for _, port in entries(container.spec, "ports"))


@rule(
    id="monitor-names-a-port",
    title="Each endpoint of a monitor names a port",
    severity="error",
    rationale="Without a port every port of every pod is a target, sidecars and all.",
    references=[_DOCS],
    kinds=MONITORS,
)
def monitor_names_a_port(monitor: Resource) -> Iterator[Problem]:
    """One of port, portNumber and targetPort is set."""
    for endpoint in endpoints(monitor):
        if not any(endpoint.content.get(name) for name in ("port", "targetPort", "portNumber")):
            yield monitor.problem(endpoint.path, "it names no port", "set port")


@rule(
    id="monitor-scrapes-once",
    title="A pod is scraped once",
    severity="error",
    rationale=(
        "After a promotion canary and stable Service select the same pods: every series twice."
    ),
    references=[_DOCS],
    kinds=[SERVICE_MONITOR],
)
def monitor_scrapes_once(monitor: Resource, world: World) -> Iterator[Problem]:
    """No two of the Services that a ServiceMonitor selects have the same pods."""
    seen: dict[int, str] = {}
    for service in services_scraped(monitor, world):
        for pod in behind(service, world):
            other = seen.setdefault(id(pod), service.name)
            if other != service.name:
                yield monitor.problem(
                    ("spec", "selector"),
                    f"Services {other!r} and {service.name!r} lead to the same pods",
                    "use one PodMonitor",
                )


@rule(
    id="monitors-do-not-overlap",
    title="Two monitors do not scrape the same port of a pod",
    severity="error",
    rationale="Two jobs write the same series twice: every sum and every count is doubled.",
    references=[_DOCS, _TROUBLE],
    kinds=MONITORS,
)  # fmt: skip
def monitors_do_not_overlap(monitor: Resource, world: World) -> Iterator[Problem]:
    """No other monitor asks the same path of the same container port; the later one is named."""
    first = _first_monitors(world)
    mine = _targets(monitor, world)
    others = {first[target].name: target for target in sorted(mine) if first[target] is not monitor}
    for target in others.values():
        other = first[target]
        if world.apart(other, monitor):
            continue
        yield monitor.problem(
            mine[target],
            f"{other.kind} {other.name} scrapes the same port",
            "keep one of them; a PodMonitor for a Rollout",
        )


_Target = tuple[int, int, str]


@once
def _first_monitors(world: World) -> dict[_Target, Resource]:
    """Return for each target the first monitor that scrapes it."""
    found: dict[_Target, Resource] = {}
    for monitor in world.index.of_kind(*MONITORS):
        for target in _targets(monitor, world):
            found.setdefault(target, monitor)
    return found


def _targets(monitor: Resource, world: World) -> dict[_Target, Path]:
    """Return what a monitor scrapes: pod template, port number, path."""
    found: dict[_Target, Path] = {}
    for endpoint in endpoints(monitor):
        path = text(endpoint.content, "path") or "/metrics"
        for pod, port in _reached(endpoint, world):
            found.setdefault((id(pod), port, path), endpoint.path)
    return found


def _reached(endpoint: Endpoint, world: World) -> Iterator[tuple[Pod, int]]:
    """Yield each pod that an endpoint scrapes with the port number on it."""
    content = endpoint.content
    if endpoint.pods:
        wanted = content.get("port") or content.get("portNumber") or content.get("targetPort")
        for pod in pods_scraped(endpoint.monitor, world):
            yield from ((pod, number) for number in _numbers(pod, wanted))
        return
    for service in services_scraped(endpoint.monitor, world):
        wanted = content.get("targetPort")
        if content.get("port"):
            ports = [
                p for _, p in entries(service.spec, "ports") if p.get("name") == content["port"]
            ]
            wanted = next((p.get("targetPort") or p.get("port") for p in ports), None)
        for pod in behind(service, world):
            yield from ((pod, number) for number in _numbers(pod, wanted))


def _numbers(pod: Pod, wanted: object) -> Iterator[int]:
    """Yield the container port of this name or number."""
    if isinstance(wanted, int) and not isinstance(wanted, bool):
        yield wanted
        return
    for port in _container_ports(pod):
        number = port.get("containerPort")
        if wanted and port.get("name") == wanted and isinstance(number, int):
            yield number


@rule(
    id="monitor-passes-policies",
    title="NetworkPolicies let Prometheus reach what it scrapes",
    severity="error",
    rationale="A target that Prometheus cannot reach is down: no gate has numbers, no alert fires.",
    references=[_POLICIES, _TROUBLE],
    kinds=MONITORS,
)
def monitor_passes_policies(monitor: Resource, world: World) -> Iterator[Problem]:
    """No policy of the pods refuses every Prometheus on the scraped port."""
    sources = prometheus_ends(world)
    for endpoint in endpoints(monitor):
        for pod, port in _reached(endpoint, world):
            end = pod_end(pod, world)
            if all("Ingress" in blocked(world, source, end, port) for source in sources):
                yield monitor.problem(
                    endpoint.path,
                    f"no NetworkPolicy of {pod.resource.kind} {pod.resource.name} lets Prometheus"
                    f" in on port {port}",
                    "allow ingress from the pods of Prometheus on that port",
                )
                break


@rule(
    id="monitor-keeps-revision",
    title="Metrics of a Rollout tell canary and stable apart",
    severity="error",
    rationale="Without rollouts_pod_template_hash every gate query of the canary has no data.",
    references=[_DOCS, "https://argoproj.github.io/argo-rollouts/features/analysis/"],
    kinds=MONITORS,
)
def monitor_keeps_revision(monitor: Resource, world: World) -> Iterator[Problem]:
    """A monitor of a Rollout's pods copies the label rollouts-pod-template-hash."""
    copied = sequence(monitor.spec, "podTargetLabels")
    rollouts = _rollouts(world)
    scraped = pods_scraped(monitor, world)
    found = [rollouts[id(pod.template)] for pod in scraped if id(pod.template) in rollouts]
    if found and "rollouts-pod-template-hash" not in copied:
        gated = any(True for rollout in found for _ in analyses(rollout))
        yield monitor.problem(
            ("spec", "podTargetLabels"),
            "rollouts-pod-template-hash is not copied to the series",
            "add it to podTargetLabels",
            severity=Severity.error if gated else Severity.warning,
        )


@once
def _rollouts(world: World) -> dict[int, Resource]:
    """Return the Rollouts by the identity of their pod template."""
    return {
        id(pod.template): rollout
        for rollout in world.index.of_kind("argoproj.io/Rollout")
        for pod in world.pods_of(rollout)
    }


@rule(
    id="scrape-timeout-fits",
    title="A scrape ends before the next one begins",
    severity="error",
    rationale="Prometheus refuses a timeout above the interval, and with it the configuration.",
    references=["https://prometheus.io/docs/prometheus/latest/configuration/configuration/"],
    kinds=MONITORS,
)
def scrape_timeout_fits(monitor: Resource) -> Iterator[Problem]:
    """scrapeTimeout is at most the interval."""
    for endpoint in endpoints(monitor):
        timeout, interval = seconds(endpoint.content.get("scrapeTimeout")), endpoint.interval
        if timeout and interval and timeout > interval:
            yield monitor.problem(
                (*endpoint.path, "scrapeTimeout"),
                f"{timeout:g} s is longer than the interval of {interval:g} s",
                "shorten it",
            )
