"""Objects of the API server and pods of the node runner -> documents for Envoy Gateway's folder."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Object = Mapping[str, Any]
Document = dict[str, Any]
Key = tuple[str, str, str]
Place = tuple[str, str, int]
"""Namespace, name and port of a Service."""

CONTROLLER = "gateway.envoyproxy.io/gatewayclass-controller"
GATEWAY_API = "gateway.networking.k8s.io/v1"
ENVOY_API = "gateway.envoyproxy.io/v1alpha1"
ENVOY_GROUP = "gateway.envoyproxy.io"
NAMESPACE = "gateway-bridge"
HEARTBEAT = "heartbeat"
HEARTBEAT_DOMAIN = "gateway-bridge.invalid"
ROUTES = ("HTTPRoute", "GRPCRoute")
POLICIES = ("SecurityPolicy", "BackendTrafficPolicy", "ClientTrafficPolicy")
_SECRET_FIELDS = frozenset({"certificateRefs", "credentialRefs", "caCertificateRefs"})


@dataclass(frozen=True)
class Pod:
    """A pod as the node runner sees it."""

    namespace: str
    name: str
    address: str
    ready: bool
    labels: Mapping[str, str] = field(default_factory=dict)
    ports: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """What Envoy is told beside the objects: where it listens and how it is started."""

    http_port: int
    https_port: int
    gateway_class: str = "envoy"
    envoy_version: str = "1.40.0"
    admin: str = "127.0.0.1:19000"
    xds: str = "127.0.0.1:18000"
    concurrency: int = 2

    def port(self, listener_port: int) -> int:
        """The port that stands for a listener's; ports below 1024 would need root."""
        return {80: self.http_port, 443: self.https_port}.get(listener_port, listener_port)


@dataclass(frozen=True)
class Endpoint:
    """Where one ready pod answers."""

    address: str
    port: int


@dataclass(frozen=True)
class Translation:
    """The documents, and what was made of each object: the report and the status need it."""

    documents: tuple[Document, ...]
    revision: str
    endpoints: Mapping[Place, tuple[Endpoint, ...]]
    names: Mapping[Key, Key]


def key(thing: Object) -> Key:
    """Kind, namespace and name."""
    metadata = thing["metadata"]
    return thing["kind"], metadata.get("namespace", ""), metadata["name"]


def translate(objects: Iterable[Object], pods: Iterable[Pod], settings: Settings) -> Translation:
    """All documents of the folder; the same input gives the same bytes."""
    world = _World(objects, pods, settings)
    documents = list(world.documents())
    revision = _digest(documents)
    heartbeat = _heartbeat(settings, revision)
    return Translation(
        documents=(*_platform(settings), *heartbeat, *documents),
        revision=revision,
        endpoints=world.endpoints,
        names=world.names,
    )


class _World:
    """One translation: looks objects up and remembers what they became."""

    def __init__(self, objects: Iterable[Object], pods: Iterable[Pod], settings: Settings) -> None:
        self._settings = settings
        self._objects = {key(thing): thing for thing in objects}
        self._pods = list(pods)
        self.endpoints: dict[Place, tuple[Endpoint, ...]] = {}
        self.names: dict[Key, Key] = {}

    def documents(self) -> Iterator[Document]:
        if not self._accepted():
            return
        found = [*self._gateways(), *self._routes(), *self._policies()]
        found += [*self._backends(), *self._secrets(found)]
        for name in sorted({document["metadata"]["namespace"] for document in found}):
            yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
        yield from found

    def _accepted(self) -> bool:
        gateway_class = self._objects.get(("GatewayClass", "", self._settings.gateway_class))
        return bool(gateway_class and gateway_class["spec"].get("controllerName") == CONTROLLER)

    def _of(self, *kinds: str) -> Iterator[Object]:
        for identity in sorted(self._objects):
            if identity[0] in kinds:
                yield self._objects[identity]

    def _gateways(self) -> Iterator[Document]:
        for gateway in self._of("Gateway"):
            spec = gateway["spec"]
            if spec.get("gatewayClassName") != self._settings.gateway_class:
                continue
            listeners = [
                {**listener, "port": self._settings.port(listener["port"])}
                for listener in spec.get("listeners", [])
            ]
            yield self._copy(gateway, {**spec, "listeners": listeners})

    def _routes(self) -> Iterator[Document]:
        for route in self._of(*ROUTES):
            namespace = route["metadata"]["namespace"]
            rules = [self._rule(rule, namespace) for rule in route["spec"].get("rules", [])]
            yield self._copy(route, {**route["spec"], "rules": rules})

    def _rule(self, rule: Object, namespace: str) -> Document:
        """A rule that points at Backends, and whose redirects name the port of their scheme."""
        return {
            **rule,
            **{
                name: [change(entry) for entry in rule[name]]
                for name, change in (
                    ("backendRefs", lambda ref: self._ref(ref, namespace)),
                    ("filters", self._filter),
                )
                if name in rule
            },
        }

    def _filter(self, entry: Object) -> Document:
        redirect = entry.get("requestRedirect", {})
        port = {"http": self._settings.http_port, "https": self._settings.https_port}
        if "port" in redirect or redirect.get("scheme") not in port:
            return dict(entry)
        return {**entry, "requestRedirect": {**redirect, "port": port[redirect["scheme"]]}}

    def _ref(self, ref: Object, namespace: str) -> Document:
        if ref.get("kind", "Service") != "Service" or ref.get("group", ""):
            return dict(ref)
        place = (ref.get("namespace", namespace), ref["name"], ref.get("port", 0))
        self._resolve(place)
        pointed = {name: value for name, value in ref.items() if name not in ("kind", "group")}
        name = backend_name(place[1], place[2])
        return {**pointed, "group": ENVOY_GROUP, "kind": "Backend", "name": name}

    def _resolve(self, place: Place) -> None:
        """Remember the endpoints of a Service's port; a missing Service has no Backend."""
        namespace, name, port = place
        service = self._objects.get(("Service", namespace, name))
        if service is not None and _service_port(service, port):
            found = tuple(_ready(service, port, self._pods))
            self.endpoints[place] = found or (_nowhere(place),)

    def _policies(self) -> Iterator[Document]:
        for policy in self._of(*POLICIES):
            yield self._renamed(self._copy(policy, policy["spec"]), key(policy))

    def _backends(self) -> Iterator[Document]:
        for (namespace, name, port), endpoints in sorted(self.endpoints.items()):
            yield {
                "apiVersion": ENVOY_API,
                "kind": "Backend",
                "metadata": {"name": backend_name(name, port), "namespace": namespace},
                "spec": {
                    "endpoints": [
                        {"ip": {"address": endpoint.address, "port": endpoint.port}}
                        for endpoint in endpoints
                    ]
                },
            }

    def _secrets(self, documents: Sequence[Document]) -> Iterator[Document]:
        wanted = {
            (ref.get("namespace", document["metadata"]["namespace"]), ref["name"])
            for document in documents
            for ref in secret_refs(document["spec"])
        }
        for namespace, name in sorted(wanted):
            secret = self._objects.get(("Secret", namespace, name))
            if secret is None:
                continue
            document = {
                **_document(secret),
                "type": secret.get("type", "Opaque"),
                "data": dict(secret.get("data") or {}),
            }
            yield self._renamed(document, key(secret))
        self._point_at_secrets(documents)

    def _point_at_secrets(self, documents: Sequence[Document]) -> None:
        for document in documents:
            for ref in secret_refs(document["spec"]):
                namespace = ref.get("namespace", document["metadata"]["namespace"])
                _, _, ref["name"] = self.names.get(
                    ("Secret", namespace, ref["name"]), ("", "", ref["name"])
                )

    def _copy(self, thing: Object, spec: Object) -> Document:
        self.names[key(thing)] = key(thing)
        return {**_document(thing), "spec": json.loads(json.dumps(spec))}

    def _renamed(self, document: Document, origin: Key) -> Document:
        """Its content in its name: Envoy Gateway merges a document into the one it had.

        A field or Secret key that is gone would stay there for ever.
        """
        name = f"{document['metadata']['name']}-{_digest(document)[:8]}"
        self.names[origin] = (origin[0], origin[1], name)
        return {**document, "metadata": {**document["metadata"], "name": name}}


def backend_name(service: str, port: int) -> str:
    """Name of the Backend that stands for a Service's port."""
    return f"{service}-{port}"


def secret_refs(spec: Any) -> Iterator[dict[str, Any]]:
    """References to Secrets, wherever they stand in a specification."""
    if isinstance(spec, list):
        for item in spec:
            yield from secret_refs(item)
    elif isinstance(spec, dict):
        for name, value in spec.items():
            if name in _SECRET_FIELDS:
                yield from (ref for ref in value if ref.get("kind", "Secret") == "Secret")
            else:
                yield from secret_refs(value)


def _ready(service: Object, port: int, pods: Iterable[Pod]) -> Iterator[Endpoint]:
    selector = service["spec"].get("selector") or {}
    target = _service_port(service, port).get("targetPort", port)
    namespace = service["metadata"]["namespace"]
    for pod in sorted(pods, key=lambda pod: pod.name):
        number = target if isinstance(target, int) else pod.ports.get(target)
        chosen = selector and selector.items() <= pod.labels.items()
        if pod.ready and pod.namespace == namespace and chosen and number and pod.address:
            yield Endpoint(pod.address, number)


def _nowhere(place: Place) -> Endpoint:
    """Refuses every connection, so that a Service without ready pods answers 503.

    An address for each Service: Envoy takes one that two backends share for one backend.
    """
    digest = int(_digest(place), 16)
    return Endpoint(f"127.254.{digest % 256}.{digest // 256 % 254 + 1}", 1)


def _service_port(service: Object, port: int) -> Object:
    ports = service["spec"].get("ports", [])
    return next((entry for entry in ports if entry["port"] == port), {})


def _document(thing: Object) -> Document:
    _, namespace, name = key(thing)
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": thing["apiVersion"], "kind": thing["kind"], "metadata": metadata}


def _digest(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _platform(settings: Settings) -> Iterator[Document]:
    """The class that merges all Gateways into one Envoy, and how that Envoy is started."""
    admin_host, admin_port = settings.admin.rsplit(":", 1)
    xds_host, xds_port = settings.xds.rsplit(":", 1)
    address = "/static_resources/clusters/0/load_assignment/endpoints/0/lb_endpoints/0"
    patches = [
        ("/admin/address/socket_address/address", admin_host),
        ("/admin/address/socket_address/port_value", int(admin_port)),
        (f"{address}/endpoint/address/socket_address/address", xds_host),
        (f"{address}/endpoint/address/socket_address/port_value", int(xds_port)),
    ]
    yield {
        "apiVersion": ENVOY_API,
        "kind": "EnvoyProxy",
        "metadata": {"name": NAMESPACE, "namespace": NAMESPACE},
        "spec": {
            "provider": {"type": "Host", "host": {"envoyVersion": settings.envoy_version}},
            "mergeGateways": True,
            "concurrency": settings.concurrency,
            "bootstrap": {
                "type": "JSONPatch",
                "jsonPatches": [
                    {"op": "replace", "path": path, "value": value} for path, value in patches
                ],
            },
        },
    }
    yield {
        "apiVersion": GATEWAY_API,
        "kind": "GatewayClass",
        "metadata": {"name": settings.gateway_class},
        "spec": {
            "controllerName": CONTROLLER,
            "parametersRef": {
                "group": ENVOY_GROUP,
                "kind": "EnvoyProxy",
                "name": NAMESPACE,
                "namespace": NAMESPACE,
            },
        },
    }
    yield {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def _heartbeat(settings: Settings, revision: str) -> Iterator[Document]:
    """A route that says the revision: Envoy showing it has been given all the rest."""
    metadata = {"name": HEARTBEAT, "namespace": NAMESPACE}
    listener = {
        "name": "http",
        "port": settings.http_port,
        "protocol": "HTTP",
        "hostname": HEARTBEAT_DOMAIN,
    }
    yield {
        "apiVersion": GATEWAY_API,
        "kind": "Gateway",
        "metadata": metadata,
        "spec": {"gatewayClassName": settings.gateway_class, "listeners": [listener]},
    }
    redirect = {"hostname": f"{revision}.{HEARTBEAT_DOMAIN}", "statusCode": 302}
    yield {
        "apiVersion": GATEWAY_API,
        "kind": "HTTPRoute",
        "metadata": metadata,
        "spec": {
            "parentRefs": [{"name": HEARTBEAT}],
            "hostnames": [HEARTBEAT_DOMAIN],
            "rules": [{"filters": [{"type": "RequestRedirect", "requestRedirect": redirect}]}],
        },
    }
