"""NetworkPolicies against what must talk: routes, DNS and the addresses that pods are told."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import entries, field, mapping, sequence, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.endpoints import (
    Reached,
    addresses,
    behind,
    behind_service,
    controller_ends,
    dns_servers,
    gateway_ends,
)
from gitops_policy.kubernetes.flows import End, blocked, blocked_from_all, outside, pod_end
from gitops_policy.kubernetes.gateway_routes import ROUTES, backends
from gitops_policy.kubernetes.ingresses import INGRESS, service_backends
from gitops_policy.kubernetes.network_policies import policies_of, types
from gitops_policy.model import Problem, Resource
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import CONTAINERS, PODS, rule
from gitops_policy.world import World

_DOCS = "https://kubernetes.io/docs/concepts/services-networking/network-policies/"
_DNS = "https://kubernetes.io/docs/concepts/services-networking/dns-pod-service/"
_FIX = "allow it there, on the container's port"


def _refusal(sides: tuple[str, ...]) -> str:
    names = {"Egress": "the egress of the source", "Ingress": "the ingress of the destination"}
    return " and ".join(names[side] for side in sides)


@rule(
    id="route-reaches-pods",
    title="NetworkPolicies let the gateway reach the pods of its routes",
    severity="error",
    rationale="A closed door behind a route answers 503 for every request, and no object says why.",
    references=[_DOCS],
    kinds=ROUTES,
)
def route_reaches_pods(route: Resource, world: World) -> Iterator[Problem]:
    """Each backend's pods admit the data plane of a parent on the resolved port."""
    gateways = [
        end
        for _, parent in entries(route.spec, "parentRefs")
        if text(parent, "kind") in ("", "Gateway")
        for end in gateway_ends(
            world, text(parent, "namespace") or route.namespace, text(parent, "name")
        )
    ]
    for path, backend in backends(route):
        namespace = text(backend, "namespace") or route.namespace
        service = world.index.get("Service", namespace, text(backend, "name"))
        port = field(backend, "port")
        if service and isinstance(port, int) and text(backend, "kind") in ("", "Service"):
            protocol = "UDP" if route.kind == "UDPRoute" else "TCP"
            for reached, sides in _closed(world, gateways, service, port, protocol):
                yield route.problem(
                    (*path, "name"),
                    f"port {reached.port} of {reached.name} is refused by {_refusal(sides)}",
                    _FIX,
                )


def _closed(
    world: World, sources: list[End], service: Resource, port: int, protocol: str = "TCP"
) -> Iterator[tuple[Reached, tuple[str, ...]]]:
    for reached in behind_service(world, service, port):
        sides = blocked_from_all(world, sources, reached.end, reached.port, protocol)
        if sides:
            yield reached, sides


@rule(
    id="ingress-reaches-pods",
    title="NetworkPolicies let the ingress controller reach the pods",
    severity="error",
    rationale="A closed door behind an Ingress answers 503 or 504 for every request.",
    references=[_DOCS],
    kinds=INGRESS,
)
def ingress_reaches_pods(ingress: Resource, world: World) -> Iterator[Problem]:
    """Each backend's pods admit some namespace but Prometheus' on the resolved port."""
    for path, name, wanted in service_backends(ingress):
        service = world.index.get("Service", ingress.namespace, name)
        if service is None or not wanted:
            continue
        for _, item in entries(service.spec, "ports"):
            port = item.get("port")
            if wanted not in (port, item.get("name")) or not isinstance(port, int):
                continue
            for reached, sides in _closed(world, controller_ends(world), service, port):
                yield ingress.problem(
                    path,
                    f"port {reached.port} of {reached.name} is refused by {_refusal(sides)}",
                    _FIX,
                )


@rule(
    id="dns-reachable",
    title="A pod that talks to others may ask DNS over UDP and TCP",
    severity="error",
    rationale="Without DNS no name resolves; without TCP the large answers do not.",
    references=[_DNS, "https://www.rfc-editor.org/rfc/rfc7766"],
    kinds=PODS,
)
def dns_reachable(pod: Pod, world: World) -> Iterator[Problem]:
    """A pod whose egress is opened to pods or everyone reaches a DNS server by both protocols."""
    if text(pod.spec, "dnsPolicy") in ("None", "Default") or not _uses_names(pod, world):
        return
    source = pod_end(pod, world)
    for protocol in ("TCP", "UDP"):
        if all(
            "Egress" in blocked(world, source, server, port, protocol)
            for server, port in dns_servers(world)
        ):
            yield pod.resource.problem(
                (*pod.path, "metadata", "labels"),
                f"its egress policies refuse DNS over {protocol}",
                "allow UDP and TCP port 53 to k8s-app: kube-dns in kube-system",
            )


def _uses_names(pod: Pod, world: World) -> bool:
    """Say whether some egress rule opens anything but addresses and DNS itself."""
    return any(
        not sequence(item, "to") or any("ipBlock" not in peer for _, peer in entries(item, "to"))
        for policy in policies_of(pod, world)
        if "Egress" in types(policy)
        for _, item in entries(policy.spec, "egress")
        if any(port.get("port") not in (53, 5353) for _, port in entries(item, "ports"))
        or not entries(item, "ports")
    )


@rule(
    id="dependency-reachable",
    title="NetworkPolicies let a container reach the addresses it is told",
    severity="error",
    rationale="A dependency behind a closed door times out at run time, in the first release.",
    references=[_DOCS],
    kinds=CONTAINERS,
)
def dependency_reachable(container: Container, world: World) -> Iterator[Problem]:
    """Each Service named in env, command or args is open on both sides, on the pods' own port.

    Of a Service in another build only its port is known. 80 and 443 are seldom the pods' own, so
    that these are closed is information; another one is a warning.
    """
    source = pod_end(container.pod, world)
    for address in addresses(container, world):
        for reached in behind(world, container.resource.namespace, address.host, address.port):
            sides = blocked(world, source, reached.end, reached.port)
            if not sides:
                continue
            usual = Severity.info if address.port in (80, 443) else Severity.warning
            certain = reached.exact or blocked(world, source, reached.end, None)
            yield container.problem(
                address.path,
                f"{address.host}:{address.port} ({reached.name}, port {reached.port})"
                f" is refused by {_refusal(sides)}",
                _FIX,
                severity=None if certain else usual,
            )


@rule(
    id="api-server-reachable",
    title="A pod with a token may reach the API server",
    severity="error",
    rationale="A job that mounts a token and is not let out times out at its first call.",
    references=[_DOCS, "https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/"],
    kinds=PODS,
)
def api_server_reachable(pod: Pod, world: World) -> Iterator[Problem]:
    """The egress of a pod that asks for a token is open to addresses on 443 or 6443."""
    if not _asks_for_token(pod):
        return
    source, server = pod_end(pod, world), outside()
    if all(blocked(world, source, server, port) for port in (443, 6443)):
        yield pod.resource.problem(
            (*pod.path, "metadata", "labels"),
            "it mounts a token, and its egress policies refuse 443 and 6443 to any address",
            "allow the API server's addresses by ipBlock",
        )


def _asks_for_token(pod: Pod) -> bool:
    """Say whether the pod spec itself mounts a token for the API server.

    A projected token with an audience is for somebody else.
    """
    if pod.spec.get("automountServiceAccountToken") is True:
        return True
    return any(
        mapping(source, "serviceAccountToken")
        and not text(source, "serviceAccountToken", "audience")
        for _, volume in pod.volumes
        for _, source in entries(volume, "projected", "sources")
    )
