"""Ingresses: backends that exist, hosts and paths that mean one thing."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import entries, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.ingresses import (
    INGRESS,
    backends,
    http_paths,
    service_backends,
    service_key,
)
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_DOCS = "https://kubernetes.io/docs/concepts/services-networking/ingress/"
_CLASS = "kubernetes.io/ingress.class"


def has_port(service: Resource, wanted: object) -> bool:
    """Say whether a Service has a port of this number or name."""
    if not wanted:
        return False
    return any(wanted in (port.get("port"), port.get("name")) for _, port in _ports(service))


def _ports(service: Resource) -> list[tuple[int, dict[str, Any]]]:
    return entries(service.spec, "ports")


@rule(
    id="ingress-backend-exists",
    title="An Ingress leads to a Service and port that exist",
    severity="error",
    rationale="An Ingress to a missing Service or port answers 503, and nothing else says so.",
    references=[_DOCS],
    kinds=INGRESS,
    known_as=[
        "kube-linter:dangling-ingress",
        "kube-score:ingress-targets-service",
        "kubescape:C-0298",
    ],
    needs_whole=True,
)
def ingress_backend_exists(ingress: Resource, world: World) -> Iterator[Problem]:
    """Each backend is a resource, or a Service of the same namespace with that port."""
    for path, backend in backends(ingress):
        if not {service_key(ingress), "resource"} & backend.keys():
            yield ingress.problem(
                path, "the backend names no Service", "name a Service and a port"
            ).regardless()
    for path, name, port in service_backends(ingress):
        service = world.index.get("Service", ingress.namespace, name)
        if service is None:
            yield ingress.problem(
                path,
                f"there is no Service {name!r} in namespace {ingress.namespace!r}",
                "name a Service of the Ingress's own namespace",
            )
        elif text(service.spec, "type") != "ExternalName" and not has_port(service, port):
            yield ingress.problem(
                path,
                f"Service {name!r} has no port {port!r}",
                "use the Service's port, not the container's",
            ).regardless()


@rule(
    id="ingress-host-set",
    title="An Ingress rule names its host",
    severity="error",
    rationale="A rule without host answers for every name that points here, also for foreign ones.",
    references=[_DOCS + "#ingress-rules"],
    kinds=INGRESS,
    known_as=[
        "kyverno:disallow-empty-ingress-host",
        "gatekeeper:block-wildcard-ingress",
        "gatekeeper:k8sblockwildcardingress",
    ],
)
def ingress_host_set(ingress: Resource) -> Iterator[Problem]:
    """No rule has an empty host."""
    for i, item in entries(ingress.spec, "rules"):
        if not text(item, "host"):
            yield ingress.problem(
                ("spec", "rules", i, "host"), "the rule matches every host", "name the host"
            )


@rule(
    id="ingress-host-no-wildcard",
    title="An Ingress rule names one host, not a whole domain",
    severity="warning",
    rationale="A wildcard takes names that nobody has given out yet.",
    references=[_DOCS + "#hostname-wildcards"],
    kinds=INGRESS,
    known_as=[
        "datree:6",
        "kyverno:restrict-ingress-wildcard",
        "gatekeeper:block-wildcard-ingress",
        "gatekeeper:k8sblockwildcardingress",
    ],
)
def ingress_host_no_wildcard(ingress: Resource) -> Iterator[Problem]:
    """No host holds a `*`; one that is `*` alone, every host, is an error."""
    for i, item in entries(ingress.spec, "rules"):
        host = text(item, "host")
        if "*" in host:
            yield ingress.problem(
                ("spec", "rules", i, "host"),
                f"{host} is a wildcard",
                "name each host",
                severity=Severity.error if host == "*" else None,
            )


@rule(
    id="ingress-no-default-backend",
    title="An Ingress has no default backend",
    severity="error",
    rationale="It receives whatever no rule matches, of every host.",
    references=[_DOCS + "#default-backend"],
    kinds=INGRESS,
    known_as=["kyverno:restrict-ingress-defaultbackend"],
)
def ingress_no_default_backend(ingress: Resource) -> Iterator[Problem]:
    """`defaultBackend` (`backend` before networking.k8s.io/v1) is absent."""
    for name in ("defaultBackend", "backend"):
        if name in ingress.spec:
            yield ingress.problem(
                ("spec", name), "it answers what no rule matches", "write rules with hosts"
            )


@rule(
    id="ingress-host-path-unique",
    title="A host and path stand in one Ingress rule",
    severity="error",
    rationale="Of two rules for one host and path the controller picks one, silently.",
    references=[_DOCS + "#multiple-matches"],
    kinds=BUILD,
    known_as=[
        "kyverno:unique-ingress-host-and-path",
        "gatekeeper:uniqueingresshost",
        "gatekeeper:k8suniqueingresshost",
    ],
)
def ingress_host_path_unique(world: World) -> Iterator[Problem]:
    """No two paths have class, host, path and path type in common, in any namespace."""
    first: dict[tuple[str, ...], Resource] = {}
    for ingress in world.index.of_kind(*INGRESS):
        for path, host, item in http_paths(ingress):
            exact = text(item, "pathType") == "Exact"
            written = text(item, "path")
            wanted = written if exact else written.rstrip("/")
            key = (_class(ingress), host, wanted, str(exact))
            if key in first and not world.apart(first[key], ingress):
                yield ingress.problem(
                    (*path, "path"),
                    f"Ingress {first[key].namespace}/{first[key].name} has a rule for"
                    f" {host or '*'}{written or '/'} too",
                    "keep one of them",
                )
            first.setdefault(key, ingress)


def _class(ingress: Resource) -> str:
    return text(ingress.spec, "ingressClassName") or text(ingress.annotations, _CLASS)


@rule(
    id="ingress-host-unique",
    title="A host belongs to one Ingress",
    severity="warning",
    rationale="Two Ingresses of one host share its annotations and limits by chance.",
    references=[_DOCS + "#name-based-virtual-hosting"],
    kinds=BUILD,
    known_as=["gatekeeper:uniqueingresshost", "gatekeeper:k8suniqueingresshost"],
    default=False,
)
def ingress_host_unique(world: World) -> Iterator[Problem]:
    """No two Ingresses have a host in common."""
    owners: dict[str, list[Resource]] = defaultdict(list)
    for ingress in world.index.of_kind(*INGRESS):
        for i, item in entries(ingress.spec, "rules"):
            host = text(item, "host")
            others = [other for other in owners[host] if other is not ingress]
            if host and others:
                yield ingress.problem(
                    ("spec", "rules", i, "host"),
                    f"{others[0].namespace}/{others[0].name} has the host {host} too",
                    "join the Ingresses",
                )
            owners[host].append(ingress)


@rule(
    id="ingress-path-safe",
    title="An Ingress path is a path of the application",
    severity="error",
    rationale="Paths into the controller's own files read its credentials (CVE-2021-25745).",
    references=["https://github.com/kubernetes/ingress-nginx/issues/8502"],
    kinds=INGRESS,
    known_as=["kyverno:restrict-ingress-paths"],
)
def ingress_path_safe(ingress: Resource) -> Iterator[Problem]:
    """No path begins with a directory of the controller's file system."""
    for path, _, item in http_paths(ingress):
        written = text(item, "path")
        if re.match(r"/(etc|root|var/run/(secrets|kubernetes))(/|$)", written):
            yield ingress.problem(
                (*path, "path"), f"{written} is a path of the controller", "use another path"
            )
