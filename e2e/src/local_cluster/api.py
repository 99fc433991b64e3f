"""A client of the API server for what kubectl would take a second of CPU to do."""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from local_cluster.cluster import ClusterError

FIELD_MANAGER = "local-cluster"
_DISCOVERY = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
_SECONDS = 120.0


@dataclass(frozen=True)
class Resource:
    """Where objects of a kind are served."""

    prefix: str
    plural: str
    namespaced: bool

    def path(self, name: str = "", namespace: str = "") -> str:
        """The path of one object, or of all where there is no name."""
        where = f"/namespaces/{namespace}" if self.namespaced and namespace else ""
        return f"{self.prefix}{where}/{self.plural}" + (f"/{name}" if name else "")


@dataclass
class Api:
    """One API server, as the user of a kubeconfig."""

    kubeconfig: Path
    namespace: str = "default"
    _client: httpx.Client | None = None
    _resources: dict[str, Resource] = field(default_factory=dict)

    def call(
        self, method: str, path: str, what: str, accept: str = "application/json", **more: Any
    ) -> httpx.Response:
        """One request; ClusterError where nobody answers. The caller judges the status."""
        headers = {"Accept": accept, **more.pop("headers", {})}
        try:
            self._client = self._client or _client(self.kubeconfig)
            return self._client.request(method, path, headers=headers, **more)
        except (httpx.HTTPError, OSError, KeyError) as error:
            raise ClusterError(
                f"{what}: the API server of {self.kubeconfig} does not answer: {error}"
            ) from error

    def apply(self, document: dict[str, Any]) -> None:
        """Server-side apply of one object; what another writer holds is taken over."""
        metadata = document["metadata"]
        what = f"{document['kind']} {metadata['name']}"
        resource = self.resource(f"{document['apiVersion']}/{document['kind']}")
        answer = self.call(
            "PATCH",
            resource.path(metadata["name"], metadata.get("namespace") or self.namespace),
            what,
            params={
                "fieldManager": FIELD_MANAGER, "force": "true", "fieldValidation": "Strict",
            },
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=json.dumps(document),
        )  # fmt: skip
        if answer.is_error:
            raise ClusterError(f"{what} was refused: {reason(answer)}")

    def get(self, kind: str, name: str, namespace: str) -> dict[str, Any] | None:
        """One object; None where it is absent."""
        answer = self.call("GET", self.resource(kind).path(name, namespace), f"{kind} {name}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return None
        return _json(answer, f"{kind} {name}")

    def items(self, kind: str) -> list[dict[str, Any]]:
        """All objects of a kind, in every namespace."""
        answer = self.call("GET", self.resource(kind).path(), kind)
        found: list[dict[str, Any]] = _json(answer, kind)["items"] or []
        return found

    def resource(self, kind: str) -> Resource:
        """By plural, singular, `plural.group` or `apiVersion/Kind`."""
        if kind.lower() not in self._resources:
            self._resources = dict(self._discover())
        try:
            return self._resources[kind.lower()]
        except KeyError:
            raise ClusterError(
                f"{kind}: the API server serves no such kind; are the definitions applied?"
            ) from None

    def served(self) -> set[str]:
        """`plural.group` of everything that is served now."""
        self._resources = dict(self._discover())
        return {name for name in self._resources if "." in name and "/" not in name}

    def _discover(self) -> Iterator[tuple[str, Resource]]:
        """Names of every kind; of two with one name the first listed has it, as in kubectl."""
        found: dict[str, Resource] = {}
        for path in ("/api", "/apis"):
            listed = _json(self.call("GET", path, "discovery", accept=_DISCOVERY), "discovery")
            for group in listed["items"]:
                for name, resource in _names(group):
                    found.setdefault(name, resource)
        yield from found.items()


def _names(group: dict[str, Any]) -> Iterator[tuple[str, Resource]]:
    name = group.get("metadata", {}).get("name", "")
    for version in group["versions"]:
        api_version = f"{name}/{version['version']}" if name else version["version"]
        prefix = f"/apis/{api_version}" if name else f"/api/{api_version}"
        for found in version.get("resources", []):
            kind, plural = found["responseKind"]["kind"], found["resource"]
            resource = Resource(prefix, plural, found["scope"] == "Namespaced")
            yield f"{api_version}/{kind}".lower(), resource
            yield plural, resource
            yield f"{plural}.{name}", resource
            yield found.get("singularResource") or kind.lower(), resource


def reason(answer: httpx.Response) -> str:
    """What the API server says about a refusal."""
    try:
        return str(answer.json()["message"])
    except (ValueError, KeyError, TypeError):
        return f"{answer.status_code} {answer.text[:300]}"


def _json(answer: httpx.Response, what: str) -> dict[str, Any]:
    if answer.is_error:
        raise ClusterError(f"{what}: {reason(answer)}")
    found: dict[str, Any] = answer.json()
    return found


def _client(kubeconfig: Path) -> httpx.Client:
    admin = yaml.safe_load(kubeconfig.read_text())
    server, user = admin["clusters"][0]["cluster"], admin["users"][0]["user"]
    context = ssl.create_default_context(cadata=_authority(server))
    context.load_cert_chain(user["client-certificate"], user["client-key"])
    return httpx.Client(
        base_url=server["server"], verify=context, timeout=_SECONDS, trust_env=False
    )


def _authority(server: dict[str, str]) -> str:
    if "certificate-authority-data" in server:
        return base64.b64decode(server["certificate-authority-data"]).decode()
    return Path(server["certificate-authority"]).read_text()
