"""The API server: what is watched, and where statuses go."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import kr8s.asyncio
from local_cluster import watching

from gateway_bridge.translate import ENVOY_API, GATEWAY_API, Key, Object, key

RESOURCES = {
    "GatewayClass": (GATEWAY_API, "gatewayclasses"),
    "Gateway": (GATEWAY_API, "gateways"),
    "HTTPRoute": (GATEWAY_API, "httproutes"),
    "GRPCRoute": (GATEWAY_API, "grpcroutes"),
    "SecurityPolicy": (ENVOY_API, "securitypolicies"),
    "BackendTrafficPolicy": (ENVOY_API, "backendtrafficpolicies"),
    "ClientTrafficPolicy": (ENVOY_API, "clienttrafficpolicies"),
    "Service": ("v1", "services"),
    "Secret": ("v1", "secrets"),
}
_LOG = logging.getLogger(__name__)
_MERGE = {"content-type": "application/merge-patch+json"}
_RETRY_SECONDS = 0.5
_FAILURES = (*watching.FAILURES, LookupError, OSError, TypeError, ValueError)


class ApiServer:
    """The objects of all kinds as the watches last saw them; `changed` is called at each change."""

    def __init__(self, api: kr8s.asyncio.Api, changed: Callable[[], None]) -> None:
        self._api = api
        self._changed = changed
        self._kinds: dict[str, dict[Key, Object]] = {}

    @classmethod
    async def connect(cls, kubeconfig: Path, changed: Callable[[], None]) -> ApiServer:
        """Read the kubeconfig; the server itself is asked later."""
        return cls(await watching.connect(kubeconfig), changed)

    @property
    def complete(self) -> bool:
        """Whether every kind was listed once: before that, absent means nothing."""
        return set(self._kinds) == set(RESOURCES)

    def objects(self) -> dict[Key, Object]:
        """All objects, by kind, namespace and name."""
        return {
            identity: thing for kind in self._kinds.values() for identity, thing in kind.items()
        }

    async def follow(self, kind: str) -> None:
        """Keep the objects of a kind equal to what the API server has, for ever."""
        said = ""
        while True:
            try:
                await self._follow_once(kind)
                said = ""
            except _FAILURES as error:
                first = str(error).partition("\n")[0]
                message = f"watch of {kind}: {first or type(error).__name__}"
                _LOG.log(logging.DEBUG if message == said else logging.WARNING, message)
                said = message
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow_once(self, kind: str) -> None:
        version, plural = RESOURCES[kind]
        listing = await watching.listing(self._api, version, plural)
        things = [{**item, "apiVersion": version, "kind": kind} for item in listing["items"]]
        self._kinds[kind] = {key(thing): thing for thing in things}
        self._changed()
        since = listing["metadata"]["resourceVersion"]
        async for event in watching.events(self._api, version, plural, since):
            if event["type"] == "ERROR":
                return
            if event["type"] != "BOOKMARK":
                self._apply(kind, event["object"], gone=event["type"] == "DELETED")

    def _apply(self, kind: str, thing: Object, *, gone: bool) -> None:
        if gone:
            self._kinds[kind].pop(key(thing), None)
        else:
            self._kinds[kind][key(thing)] = thing
        self._changed()

    async def write_status(self, thing: Object, status: Mapping[str, Any]) -> None:
        """Put a status on this very object; one that is gone needs none."""
        version, plural = RESOURCES[thing["kind"]]
        metadata = thing["metadata"]
        body = {"metadata": {"uid": metadata["uid"]}, "status": status}
        try:
            async with self._api.call_api(
                "PATCH",
                version=version,
                namespace=metadata.get("namespace"),
                url=f"{plural}/{metadata['name']}/status",
                content=json.dumps(body),
                headers=_MERGE,
                params={"fieldManager": "envoy-gateway"},
            ):
                return
        except _FAILURES as error:
            _LOG.warning("status of %s %s: %s", thing["kind"], metadata["name"], error)
