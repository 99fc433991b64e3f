"""The real controller: objects in a namespace of its own, and what becomes of them."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import kr8s.asyncio
from kr8s import ServerError

from e2e.oracles.gate.case import Object

ARGO = "/apis/argoproj.io/v1alpha1"
_AT_ONCE = 24


class NotEndedError(Exception):
    """Objects that had not come to an end within the limit; the message names them."""


class Controller:
    """A namespace in which Argo Rollouts works, over the API server of a kubeconfig."""

    def __init__(self, api: Any, namespace: str) -> None:
        self._api, self.namespace = api, namespace
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def call(self, method: str, base: str, url: str, content: object = None) -> Object:
        """Make one request in the namespace; raises kr8s.ServerError where it is refused."""
        patch = "application/merge-patch+json" if method == "PATCH" else "application/json"
        more = {"content": json.dumps(content)} if content is not None else {}
        async with (
            self._slots,
            self._api.call_api(
                method,
                base=base,
                version="",
                namespace=self.namespace,
                url=url,
                headers={"Content-Type": patch},
                **more,
            ) as response,
        ):
            answer: Object = response.json()
            return answer

    async def create(self, documents: Iterable[Mapping[str, Any]]) -> None:
        """Create Argo's objects, a few at a time."""

        async def one(document: Mapping[str, Any]) -> None:
            await self.call("POST", ARGO, f"{document['kind'].lower()}s", document)

        await asyncio.gather(*(one(document) for document in documents))

    async def objects(self, kind: str) -> dict[str, Object]:
        """All of Argo's objects of a kind, by name."""
        answer = await self.call("GET", ARGO, f"{kind.lower()}s")
        return {item["metadata"]["name"]: item for item in answer["items"]}

    async def until(
        self, kind: str, names: Iterable[str], ended: Callable[[Object], bool], within: float
    ) -> dict[str, Object]:
        """Wait for objects to come to an end; raises NotEndedError with the names of the others."""
        wanted, limit = set(names), time.monotonic() + within
        while True:
            found = await self.objects(kind)
            waiting = sorted(one for one in wanted if one not in found or not ended(found[one]))
            if not waiting:
                return {name: found[name] for name in wanted}
            if time.monotonic() > limit:
                raise NotEndedError(
                    f"after {within:.0f} s, {len(waiting)} of {len(wanted)} objects of kind {kind} "
                    f"in namespace {self.namespace} had not ended: {', '.join(waiting[:10])}; "
                    "does the Argo Rollouts controller run, and does it reach the scripted "
                    "Prometheus?"
                )
            await asyncio.sleep(1.5)


@asynccontextmanager
async def controller(kubeconfig: str, namespace: str) -> AsyncIterator[Controller]:
    """Make the namespace anew, and remove it with all that is in it at the end."""
    api = await kr8s.asyncio.api(kubeconfig=kubeconfig, namespace=namespace)
    await _remove(api, namespace)
    document = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}}
    async with api.call_api("POST", url="namespaces", content=json.dumps(document)):
        pass
    try:
        yield Controller(api, namespace)
    finally:
        await _remove(api, namespace)


async def _remove(api: Any, namespace: str, within: float = 180) -> None:
    limit = time.monotonic() + within
    while time.monotonic() < limit:
        try:
            async with api.call_api("DELETE", url=f"namespaces/{namespace}"):
                pass
        except ServerError as error:
            if error.response is not None and error.response.status_code == 404:
                return
            if error.response is None or error.response.status_code != 409:
                raise
        await asyncio.sleep(0.5)
    raise NotEndedError(f"namespace {namespace} was not removed within {within:.0f} s")


def completed(run: Object) -> bool:
    """Whether an AnalysisRun has ended."""
    return run.get("status", {}).get("phase") in ("Successful", "Failed", "Error", "Inconclusive")
