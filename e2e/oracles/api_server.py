"""Questions to a real API server: dry runs, many in flight, and namespaces of our own."""

from __future__ import annotations

import asyncio
import json
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from secrets import token_hex
from ssl import SSLContext
from threading import local
from typing import Any
from urllib.parse import urlencode, urlsplit

import kr8s.asyncio

Manifest = dict[str, Any]

IN_FLIGHT = 24
SECONDS = 60
DRY_RUN = {"dryRun": "All", "fieldValidation": "Strict"}
JSON = "application/json"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"


class NoClusterError(Exception):
    """The API server cannot be asked; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class Question:
    """One request, as it goes over the wire."""

    method: str
    path: str
    body: Manifest | None = None
    parameters: Mapping[str, str] = field(default_factory=dict)
    content_type: str = JSON


@dataclass(frozen=True, slots=True)
class Answer:
    """What the API server said: the status code, and the message of a refusal."""

    status: int
    message: str
    body: Manifest

    @property
    def accepted(self) -> bool:
        """Whether the object would have been stored."""
        return self.status < 300


class ApiServer:
    """Plain connections kept open, one for each sender: a client library costs 4 ms a request."""

    def __init__(self, address: Address, senders: Executor) -> None:
        self.run = token_hex(2)
        self._address = address
        self._senders = senders
        self._own = local()
        self._resources: dict[str, dict[str, Manifest]] = {}

    def ask(self, question: Question) -> Answer:
        """Send one request."""
        return self.ask_all([question])[0]

    def ask_all(self, questions: Iterable[Question]) -> list[Answer]:
        """Send all requests, IN_FLIGHT at a time; the answers in their order."""
        return list(self._senders.map(self._send, questions))

    def _send(self, question: Question) -> Answer:
        query = f"?{urlencode(question.parameters)}" if question.parameters else ""
        body = None if question.body is None else json.dumps(question.body)
        headers = {"Content-Type": question.content_type, **self._address.headers}
        for last in (False, True):
            connection = self._connection(fresh=last)
            try:
                connection.request(question.method, question.path + query, body, headers)
                response = connection.getresponse()
                return _answer(response.status, response.read())
            except (HTTPException, OSError) as error:
                if last:  # the first try may have met a connection that the server had closed
                    raise NoClusterError(_lost(self._address, error)) from None
        raise AssertionError

    def _connection(self, *, fresh: bool) -> HTTPSConnection | HTTPConnection:
        if fresh or not hasattr(self._own, "connection"):
            self._own.connection = self._address.connection()
        connection: HTTPSConnection | HTTPConnection = self._own.connection
        return connection

    def path(self, manifest: Manifest, name: str | None = None) -> str:
        """Return the address of the collection that an object belongs to, or of one object."""
        api_version, kind = manifest["apiVersion"], manifest["kind"]
        resource = self._served(api_version).get(kind)
        if resource is None:
            raise NoClusterError(
                f"the cluster serves no {api_version} {kind}: install its CRDs "
                "(`local-cluster up` does; on another cluster the platform Applications do)"
            )
        base = f"/apis/{api_version}" if "/" in api_version else f"/api/{api_version}"
        if resource["namespaced"]:
            base += f"/namespaces/{manifest['metadata'].get('namespace', 'default')}"
        path = f"{base}/{resource['name']}"
        return path if name is None else f"{path}/{name}"

    def namespaced(self, manifest: Manifest) -> bool:
        """Say whether objects of this kind live in namespaces."""
        served = self._served(manifest["apiVersion"]).get(manifest["kind"], {})
        return bool(served.get("namespaced"))

    def _served(self, api_version: str) -> dict[str, Manifest]:
        if api_version not in self._resources:
            base = "/apis" if "/" in api_version else "/api"
            answer = self.ask(Question("GET", f"{base}/{api_version}"))
            found = answer.body.get("resources", [])
            self._resources[api_version] = {r["kind"]: r for r in found if "/" not in r["name"]}
        return self._resources[api_version]

    def create(self, manifest: Manifest, like: Manifest | None = None) -> Question:
        """Return the strict dry run of a creation, sent to where `like` belongs."""
        return Question("POST", self.path(like or manifest), manifest, DRY_RUN)

    def apply(self, manifest: Manifest) -> Question:
        """Return the strict dry run of a server-side apply."""
        parameters = {**DRY_RUN, "fieldManager": "oracle", "force": "true"}
        path = self.path(manifest, manifest["metadata"]["name"])
        return Question("PATCH", path, manifest, parameters, APPLY)

    @contextmanager
    def namespace(self, name: str, labels: Mapping[str, str] | None = None) -> Iterator[str]:
        """Have a namespace `oracle-...` of this run for a while, with its service account."""
        full = f"oracle-{name}-{self.run}"
        content: Manifest = {"apiVersion": "v1", "kind": "Namespace"}
        content["metadata"] = {"name": full, "labels": dict(labels or {})}
        self.store(content)
        account: Manifest = {"apiVersion": "v1", "kind": "ServiceAccount"}
        account["metadata"] = {"name": "default", "namespace": full}
        try:
            self.store(account)
            yield full
        finally:
            self.ask(Question("DELETE", f"/api/v1/namespaces/{full}"))

    def store(self, manifest: Manifest) -> None:
        """Create an object for real; one that is there already is taken as it is."""
        answer = self.ask(Question("POST", self.path(manifest), manifest))
        if not answer.accepted and answer.status != 409:
            name = f"{manifest['kind']} {manifest['metadata']['name']}"
            raise NoClusterError(f"{name} cannot be created: {answer.message}")

    def change(self, path: str, patch: Manifest) -> None:
        """Change a stored object of our own by a merge patch."""
        answer = self.ask(Question("PATCH", path, patch, content_type=MERGE))
        if not answer.accepted:
            raise NoClusterError(f"{path} cannot be changed: {answer.message}")


@dataclass(frozen=True, slots=True)
class Address:
    """Where an API server listens, and what it wants to see of a client."""

    url: str
    context: SSLContext
    headers: dict[str, str]

    def connection(self) -> HTTPSConnection | HTTPConnection:
        """Open a connection."""
        parts = urlsplit(self.url)
        if parts.scheme == "http":
            return HTTPConnection(parts.netloc, timeout=SECONDS)
        return HTTPSConnection(parts.netloc, timeout=SECONDS, context=self.context)


@contextmanager
def connect(kubeconfig: Path) -> Iterator[ApiServer]:
    """Connect to the API server of a kubeconfig; NoClusterError where nothing answers."""
    if not kubeconfig.is_file():
        raise NoClusterError(
            f"no cluster: {kubeconfig} does not exist; run `make up`, or set KUBECONFIG"
        )
    address = asyncio.run(_address(kubeconfig))
    with ThreadPoolExecutor(IN_FLIGHT) as senders:
        server = ApiServer(address, senders)
        server.ask(Question("GET", "/version"))
        yield server


async def _address(kubeconfig: Path) -> Address:
    """Read a kubeconfig as clients do: certificates, tokens and programs that get tokens."""
    try:
        with warnings.catch_warnings():  # it warns of every Kubernetes newer than itself
            warnings.simplefilter("ignore")
            auth: Any = (await kr8s.asyncio.api(kubeconfig=str(kubeconfig))).auth
        context = await auth.ssl_context()
    except Exception as error:
        raise NoClusterError(f"{kubeconfig} cannot be used: {error}") from None
    headers = {"Authorization": f"Bearer {auth.token}"} if auth.token else {}
    return Address(str(auth.server), context, headers)


def _answer(status: int, body: bytes) -> Answer:
    try:
        found = json.loads(body)
    except ValueError:
        found = {"message": body.decode(errors="replace")}
    content = found if isinstance(found, dict) else {}
    return Answer(status, str(content.get("message", "")), content)


def _lost(address: Address, error: Exception) -> str:
    return (
        f"the API server at {address.url} does not answer ({type(error).__name__}: {error}); "
        "look at `local-cluster status`, or set KUBECONFIG to a cluster that runs"
    )
