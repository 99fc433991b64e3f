"""Services and selectors: what they select must exist."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import entries, field, mapping, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.selectors import matches, selects, served, services_of
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import rule
from gitops_policy.world import World, once

_SERVICES = "https://kubernetes.io/docs/concepts/services-networking/service/"
# Of these kinds the selector is a plain map of labels, and filled in from the template.
_PLAIN_SELECTORS = ("ReplicationController", "apps.openshift.io/DeploymentConfig")


@rule(
    id="service-selects-workload",
    title="A Service selects the pods of a workload",
    severity="error",
    rationale="A Service whose selector matches no pod has no endpoints and answers 503, silently.",
    references=[_SERVICES],
    kinds=["Service"],
    known_as=[
        "kube-linter:dangling-service",
        "kube-score:service-targets-pod",
        "kubescape:C-0293",
    ],
    needs_whole=True,
)
def service_selects_workload(service: Resource, world: World) -> Iterator[Problem]:
    """Some pod template in the Service's namespace carries every label of its selector.

    One without selector has its Endpoints or EndpointSlices in the build.
    """
    if text(service.spec, "type") == "ExternalName":
        return
    selector = {"matchLabels": mapping(service.spec, "selector")}
    if not mapping(service.spec, "selector"):
        if not _has_endpoints(service, world):
            yield service.problem(
                ("spec", "selector"),
                "there is no selector, and nothing here writes its endpoints",
                "add a selector, or an EndpointSlice",
                severity=Severity.warning,
            )
    elif not selects(world, service.namespace, selector):
        yield service.problem(
            ("spec", "selector"),
            f"no pod template in namespace {service.namespace!r} carries all of these labels",
            "make the selector equal to labels of the workload's pod template",
        )


def _has_endpoints(service: Resource, world: World) -> bool:
    if world.index.get("Endpoints", service.namespace, service.name):
        return True
    return any(
        piece.namespace == service.namespace
        and piece.labels.get("kubernetes.io/service-name") == service.name
        for piece in world.index.of_kind("discovery.k8s.io/EndpointSlice")
    )


@rule(
    id="service-target-port",
    title="A Service's named target port exists in the pods",
    severity="error",
    rationale="A named targetPort that no container declares leaves the port without endpoints.",
    references=[_SERVICES + "#multi-port-services"],
    kinds=["Service"],
)
def service_target_port(service: Resource, world: World) -> Iterator[Problem]:
    """Each targetPort is a port of every selected pod; a number nobody declares is information."""
    if not mapping(service.spec, "selector"):
        return
    pods = served(world, service.namespace, service.spec)
    declared = [_declared(pod) for pod in pods]
    for position, port in entries(service.spec, "ports"):
        target = port.get("targetPort", port.get("port"))
        wanted = (target, text(port, "protocol") or "TCP")
        lacking = [ports for ports in declared if wanted not in ports]
        if isinstance(target, str) and lacking:
            yield service.problem(
                ("spec", "ports", position, "targetPort"),
                f"no container of the selected pods has a {wanted[1]} port named {target!r}",
                "name a port of the container so, or write its number",
            )
        elif isinstance(target, int) and any(lacking):
            yield service.problem(
                ("spec", "ports", position, "targetPort"),
                f"no container of the selected pods declares port {target}/{wanted[1]}",
                "write the container's port; declaring it is optional, but tells",
                severity=Severity.info,
            )


def _declared(pod: Pod) -> list[tuple[object, str]]:
    """Return the names and numbers of a pod's ports, each with its protocol."""
    return [
        (value, text(port, "protocol") or "TCP")
        for container in pod.containers
        if container.group == "containers" or container.sidecar
        for _, port in entries(container.spec, "ports")
        for value in (port.get("name"), port.get("containerPort"))
        if value is not None
    ]


@rule(
    id="service-target-port-valid",
    title="A Service's target port is a port number or name",
    severity="error",
    rationale="The API server refuses any other, when the Service is applied.",
    references=[_SERVICES + "#field-spec-ports"],
    kinds=["Service"],
    known_as=["kube-linter:invalid-target-ports"],
)
def service_target_port_valid(service: Resource) -> Iterator[Problem]:
    """A number is within 1 and 65535; a name has at most 15 of a-z, 0-9 and single dashes."""
    for position, port in entries(service.spec, "ports"):
        target = port.get("targetPort")
        bad_number = isinstance(target, int) and not 1 <= target <= 65535
        if bad_number or (isinstance(target, str) and not _is_port_name(target)):
            yield service.problem(
                ("spec", "ports", position, "targetPort"),
                f"{target!r} is no port number and no port name",
                "write a number up to 65535, or a lower-case name of at most 15 characters",
            )


def _is_port_name(name: str) -> bool:
    """Say whether it is an IANA service name: https://www.rfc-editor.org/rfc/rfc6335."""
    pattern = r"(?=.{1,15}$)(?=.*[a-z])[a-z0-9]+(-[a-z0-9]+)*"
    return re.fullmatch(pattern, name) is not None


@rule(
    id="service-selector-unique",
    title="Two Services do not select the same pods",
    severity="warning",
    rationale="Two Services with one selector hide which of them is the entrance.",
    references=[_SERVICES],
    kinds=["Service"],
    known_as=[
        "kyverno:require-unique-service-selector",
        "gatekeeper:uniqueserviceselector",
        "gatekeeper:k8suniqueserviceselector",
    ],
)
def service_selector_unique(service: Resource, world: World) -> Iterator[Problem]:
    """Selectors differ within a namespace, except the canary and stable Service of a Rollout."""
    if (service.namespace, service.name) in _managed(world):
        return
    for first in _by_selector(world).get(_key(service), ()):
        if first is service:
            return
        if world.apart(first, service) or first.name == service.name:
            continue
        yield service.problem(
            ("spec", "selector"),
            f"Service {first.name!r} has the same selector",
            "use one Service, or select by one more label",
        )
        return


def _key(service: Resource) -> tuple[str, str]:
    return service.namespace, repr(sorted(mapping(service.spec, "selector").items()))


@once
def _by_selector(world: World) -> dict[tuple[str, str], list[Resource]]:
    """Return the Services by name for each namespace and selector."""
    found: dict[tuple[str, str], list[Resource]] = {}
    for service in sorted(world.index.of_kind("Service"), key=lambda s: s.name):
        managed = (service.namespace, service.name) in _managed(world)
        if mapping(service.spec, "selector") and not managed:
            found.setdefault(_key(service), []).append(service)
    return found


@once
def _managed(world: World) -> frozenset[tuple[str, str]]:
    """Return the Services whose selectors the Rollouts controller tells apart."""
    fields = (
        ("canary", "canaryService"),
        ("canary", "stableService"),
        ("blueGreen", "activeService"),
        ("blueGreen", "previewService"),
        ("canary", "pingPong", "pingService"),
        ("canary", "pingPong", "pongService"),
    )
    return frozenset(
        (rollout.namespace, text(rollout.spec, "strategy", *path))
        for rollout in world.index.of_kind("argoproj.io/Rollout")
        for path in fields
    )


@rule(
    id="selector-matches-template",
    title="A workload's selector matches its own pod template",
    severity="error",
    rationale="A workload that does not own its pods is rejected, or starts pods without end.",
    references=["https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#selector"],
    kinds=[
        "apps/Deployment",
        "apps/StatefulSet",
        "apps/DaemonSet",
        "apps/ReplicaSet",
        "argoproj.io/Rollout",
        "batch/Job",
        *_PLAIN_SELECTORS,
    ],
    known_as=[
        "kube-linter:mismatching-selector",
        "kube-score:deployment-pod-selector-labels-match-template-metadata-labels",
        "kube-score:statefulset-pod-selector-labels-match-template-metadata-labels",
        "kubescape:C-0296",
    ],
)
def selector_matches_template(workload: Resource, world: World) -> Iterator[Problem]:
    """The selector is set and accepts the labels of the template.

    It is filled in for a Job, ReplicationController or DeploymentConfig, by Argo for a workloadRef.
    """
    selector = mapping(workload.spec, "selector")
    plain = workload.group_kind in _PLAIN_SELECTORS
    if plain:
        selector = {"matchLabels": selector} if selector else {}
    filled_in = plain or workload.kind == "Job" or mapping(workload.spec, "workloadRef")
    for pod in world.pods_of(workload):
        if not selector and filled_in:
            continue
        if not selector:
            yield workload.problem(("spec",), "there is no selector", "select by a template label")
        elif not matches(selector, pod.labels):
            yield workload.problem(
                ("spec", "selector"),
                "the selector does not match the labels of the pod template",
                "write the same labels in spec.selector.matchLabels and in the template",
            )


@rule(
    id="stateful-set-service-exists",
    title="A StatefulSet's Service is a headless one that exists",
    severity="error",
    rationale="Without its headless Service the pods of a StatefulSet have no DNS names.",
    references=[
        "https://kubernetes.io/docs/concepts/workloads/controllers/statefulset/#stable-network-id"
    ],
    kinds=["apps/StatefulSet"],
    known_as=["kube-score:statefulset-has-servicename"],
    needs_whole=True,
)
def stateful_set_service_exists(workload: Resource, world: World) -> Iterator[Problem]:
    """`serviceName` names a Service with `clusterIP: None` that selects the pods."""
    name = text(workload.spec, "serviceName")
    service = world.index.get("Service", workload.namespace, name)
    what = f"Service {name!r} does not exist"
    if not name:
        what = "serviceName is not set"
    elif service is None:
        pass
    elif field(service.spec, "clusterIP") != "None":
        what = f"Service {name!r} is not headless"
    elif not all(service in services_of(pod, world) for pod in world.pods_of(workload)):
        what = f"Service {name!r} does not select the pods"
    else:
        return
    problem = workload.problem(
        ("spec", "serviceName"),
        what,
        "add a Service of this name with clusterIP: None and the pods' labels as selector",
    )
    yield problem if name and service is None else problem.regardless()
