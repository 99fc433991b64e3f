"""Services and selectors: what they select must exist."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, field, mapping, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.selectors import matches, selects, served
from gitops_policy.world import World

_SERVICES = "https://kubernetes.io/docs/concepts/services-networking/service/"


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
)
def service_selects_workload(service: Resource, world: World) -> Iterator[Problem]:
    """Some pod template in the Service's namespace carries every label of its selector."""
    if text(service.spec, "type") == "ExternalName" or not mapping(service.spec, "selector"):
        return
    selector = {"matchLabels": mapping(service.spec, "selector")}
    if not selects(world, service.namespace, selector):
        yield service.problem(
            ("spec", "selector"),
            f"no pod template in namespace {service.namespace!r} carries all of these labels",
            "make the selector equal to labels of the workload's pod template",
        )


@rule(
    id="service-target-port",
    title="A Service's named target port exists in the pods",
    severity="error",
    rationale="A named targetPort that no container declares leaves the port without endpoints.",
    references=[_SERVICES + "#multi-port-services"],
    kinds=["Service"],
    known_as=["kube-linter:invalid-target-ports"],
)
def service_target_port(service: Resource, world: World) -> Iterator[Problem]:
    """Every named targetPort is a port name of each pod that the Service selects."""
    if not mapping(service.spec, "selector"):
        return
    pods = served(world, service.namespace, service.spec)
    for position, port in entries(service.spec, "ports"):
        name = text(port, "targetPort")
        if name and any(name not in _port_names(pod.spec) for pod in pods):
            yield service.problem(
                ("spec", "ports", position, "targetPort"),
                f"no container of the selected pods has a port named {name!r}",
                "name a port of the container so, or write its number",
            )


def _port_names(pod_spec: object) -> set[str]:
    return {
        text(port, "name")
        for group in ("containers", "initContainers")
        for _, container in entries(pod_spec, group)
        for _, port in entries(container, "ports")
    }


@rule(
    id="service-selector-unique",
    title="Two Services do not select the same pods",
    severity="warning",
    rationale="Two Services with one selector hide which of them is the entrance.",
    references=[_SERVICES],
    kinds=["Service"],
    known_as=["kyverno:require-unique-service-selector", "gatekeeper:k8suniqueserviceselector"],
)
def service_selector_unique(service: Resource, world: World) -> Iterator[Problem]:
    """Selectors differ within a namespace, except the canary and stable Service of a Rollout."""
    selector = mapping(service.spec, "selector")
    managed = _managed_services(world)
    if not selector or (service.namespace, service.name) in managed:
        return
    for other in world.index.of_kind("Service"):
        if (
            other.name < service.name
            and other.namespace == service.namespace
            and mapping(other.spec, "selector") == selector
        ):
            yield service.problem(
                ("spec", "selector"),
                f"Service {other.name!r} has the same selector",
                "use one Service, or select by one more label",
            )


def _managed_services(world: World) -> set[tuple[str, str]]:
    fields = (
        ("canary", "canaryService"),
        ("canary", "stableService"),
        ("blueGreen", "activeService"),
        ("blueGreen", "previewService"),
    )
    return {
        (rollout.namespace, text(rollout.spec, "strategy", *path))
        for rollout in world.index.of_kind("argoproj.io/Rollout")
        for path in fields
    }


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
    ],
    known_as=[
        "kube-linter:mismatching-selector",
        "kube-score:deployment-pod-selector-labels-match-template-metadata-labels",
        "kubescape:C-0296",
    ],
)
def selector_matches_template(workload: Resource, world: World) -> Iterator[Problem]:
    """The selector is set and accepts the labels of the template."""
    selector = mapping(workload.spec, "selector")
    for pod in world.pods_of(workload):
        if not selector and mapping(workload.spec, "workloadRef"):
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
)
def stateful_set_service_exists(workload: Resource, world: World) -> Iterator[Problem]:
    """`serviceName` names a Service with `clusterIP: None` in the same namespace."""
    name = text(workload.spec, "serviceName")
    service = world.index.get("Service", workload.namespace, name)
    if service is None or field(service.spec, "clusterIP") != "None":
        what = "is not headless" if service else "does not exist"
        yield workload.problem(
            ("spec", "serviceName"),
            f"Service {name!r} {what}",
            "add a Service of this name with clusterIP: None",
        )
