"""Ingresses: their paths, and the Services that they lead to."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from gitops_policy.fields import Path, entries, mapping, text
from gitops_policy.model import Resource

INGRESS = ("networking.k8s.io/Ingress", "extensions/Ingress")
# A backend of the AWS controller whose action stands in an annotation, not in a Service.
_ACTION = "use-annotation"


def http_paths(ingress: Resource) -> Iterator[tuple[Path, str, dict[str, Any]]]:
    """Yield each path of each rule: where it stands, its host, its content."""
    for i, item in entries(ingress.spec, "rules"):
        for j, path in entries(item, "http", "paths"):
            yield ("spec", "rules", i, "http", "paths", j), text(item, "host"), path


def backends(ingress: Resource) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield each backend of an Ingress with its path: of all requests, then of the rules."""
    for name in ("defaultBackend", "backend"):
        if name in ingress.spec:
            yield ("spec", name), mapping(ingress.spec, name)
    for path, _, item in http_paths(ingress):
        yield (*path, "backend"), mapping(item, "backend")


def service_backends(ingress: Resource) -> Iterator[tuple[Path, str, Any]]:
    """Yield each Service that an Ingress leads to: where, its name, its port or port name."""
    for path, backend in backends(ingress):
        if service_key(ingress) == "serviceName":
            if "serviceName" in backend:
                path = (*path, "serviceName")
                yield path, text(backend, "serviceName"), backend.get("servicePort")
        elif service := mapping(backend, "service"):
            port = mapping(service, "port")
            wanted = port.get("number") or port.get("name")
            if wanted != _ACTION:
                yield (*path, "service", "name"), text(service, "name"), wanted


def service_key(ingress: Resource) -> str:
    """Return the field that names a backend's Service in the Ingress's version."""
    return "service" if ingress.version == "v1" else "serviceName"
