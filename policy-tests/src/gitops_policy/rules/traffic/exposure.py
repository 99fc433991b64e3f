"""How workloads are reached from outside: by Services of the nodes, balancers, routes."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, sequence, text
from gitops_policy.kubernetes.gateway_routes import ROUTES, backends
from gitops_policy.kubernetes.ingresses import INGRESS, service_backends
from gitops_policy.kubernetes.selectors import services_of
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World, once

_TYPES = "https://kubernetes.io/docs/concepts/services-networking/service/#publishing-services-service-types"
_PUBLISHED = ("NodePort", "LoadBalancer")


def _of_type(service: Resource, wanted: str, fix: str) -> Iterator[Problem]:
    if text(service.spec, "type") == wanted:
        yield service.problem(("spec", "type"), f"the Service is of type {wanted}", fix)


@rule(
    id="no-node-port",
    title="A Service opens no port on the nodes",
    severity="error",
    rationale="A node port is open on every node, past the gateway and its policies.",
    references=[_TYPES],
    kinds=["Service"],
    known_as=[
        "kube-linter:exposed-services",
        "kube-score:service-type",
        "datree:7",
        "kyverno:restrict-node-port",
        "gatekeeper:block-nodeport-services",
        "gatekeeper:k8sblocknodeport",
    ],
)
def no_node_port(service: Resource) -> Iterator[Problem]:
    """The type is not NodePort."""
    yield from _of_type(service, "NodePort", "use ClusterIP and a route of the gateway")


@rule(
    id="no-load-balancer",
    title="A Service orders no load balancer of its own",
    severity="error",
    rationale="Each balancer is one more public address, outside the gateway's TLS and limits.",
    references=[_TYPES],
    kinds=["Service"],
    known_as=[
        "kube-linter:exposed-services",
        "kyverno:restrict-loadbalancer",
        "gatekeeper:block-loadbalancer-services",
        "gatekeeper:k8sblockloadbalancer",
    ],
)
def no_load_balancer(service: Resource) -> Iterator[Problem]:
    """The type is not LoadBalancer; the gateway's own Service is exempted by its owner."""
    yield from _of_type(service, "LoadBalancer", "use ClusterIP and a route of the gateway")


@rule(
    id="no-external-ips",
    title="A Service claims no external addresses",
    severity="error",
    rationale="Whoever may set externalIPs can take over traffic to any address (CVE-2020-8554).",
    references=[
        "https://kubernetes.io/docs/concepts/services-networking/service/#external-ips",
        "https://github.com/kubernetes/kubernetes/issues/97076",
    ],
    kinds=["Service"],
    known_as=[
        "trivy:KSV-0108",
        "kyverno:restrict-service-external-ips",
        "gatekeeper:externalip",
        "gatekeeper:k8sexternalips",
    ],
)
def no_external_ips(service: Resource) -> Iterator[Problem]:
    """`externalIPs` is absent or empty."""
    if sequence(service.spec, "externalIPs"):
        yield service.problem(
            ("spec", "externalIPs"), "it claims external addresses", "remove externalIPs"
        )


@rule(
    id="no-external-name",
    title="A Service is no alias of an outside name",
    severity="warning",
    rationale="Clients inside follow the alias to whatever the outside name resolves to.",
    references=["https://kubernetes.io/docs/concepts/services-networking/service/#externalname"],
    kinds=["Service"],
    known_as=["kube-linter:externalname-service-redirect", "trivy:KSV-0108"],
    default=False,
)
def no_external_name(service: Resource) -> Iterator[Problem]:
    """The type is not ExternalName."""
    yield from _of_type(service, "ExternalName", "let clients use the outside name itself")


@rule(
    id="exposed-workload",
    title="Inventory: a workload that is reached from outside",
    severity="info",
    rationale="What is exposed deserves a second look: authentication, limits, updates.",
    references=[_TYPES, "https://kubernetes.io/docs/concepts/services-networking/ingress/"],
    kinds=PODS,
    known_as=["kubescape:C-0256", "kubescape:C-0266"],
    default=False,
)
def exposed_workload(pod: Pod, world: World) -> Iterator[Problem]:
    """No published Service, Ingress or route leads to the pods."""
    for service in services_of(pod, world):
        ways = _ways(world).get((service.namespace, service.name), [])
        if text(service.spec, "type") in _PUBLISHED:
            ways = [f"Service {service.name!r} of type {text(service.spec, 'type')}", *ways]
        for way in ways:
            yield pod.resource.problem(
                ("metadata", "name"), f"reached from outside by {way}", "make sure that it is meant"
            )


@once
def _ways(world: World) -> dict[tuple[str, str], list[str]]:
    """Return the Ingresses and routes that lead to each Service."""
    found: dict[tuple[str, str], list[str]] = {}
    for ingress in world.index.of_kind(*INGRESS):
        for name in {name: None for _, name, _ in service_backends(ingress)}:
            found.setdefault((ingress.namespace, name), []).append(f"Ingress {ingress.name!r}")
    for route in world.index.of_kind(*ROUTES):
        for place in _destinations(route):
            found.setdefault(place, []).append(f"{route.kind} {route.name!r}")
    return found


def _destinations(route: Resource) -> set[tuple[str, str]]:
    """Return the Services of a route with a Gateway; one of a mesh has none."""
    if not any(text(p, "kind") in ("", "Gateway") for _, p in entries(route.spec, "parentRefs")):
        return set()
    return {
        (text(backend, "namespace") or route.namespace, text(backend, "name"))
        for _, backend in backends(route)
    }
