"""The few calls of the API server that a kubelet makes, by kr8s."""

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import kr8s.asyncio
from local_cluster import watching

from node_runner.manifest import Manifest, metadata, name_of

_LOG = logging.getLogger(__name__)
_STRATEGIC = {"content-type": "application/strategic-merge-patch+json"}
_RETRY_SECONDS = 1.0
# Called with the object, and whether it is gone.
Changed = Callable[[Manifest, bool], None]


class ApiServer:
    """One API server."""

    def __init__(self, api: "kr8s.asyncio.Api") -> None:
        self._api = api
        address = urlsplit(str(api.auth.server))
        self.host = address.hostname or "127.0.0.1"
        self.port = address.port or 443

    @classmethod
    async def connect(cls, kubeconfig: Path) -> "ApiServer":
        """Read the kubeconfig; the server itself is asked later."""
        return cls(await watching.connect(kubeconfig))

    async def patch_status(self, plural: str, manifest: Manifest, status: Manifest) -> Manifest:
        """Merge a status; only into this very object, not into another of the same name."""
        found = metadata(manifest)
        body = {"metadata": {"uid": found["uid"]}, "status": status}
        return await self._call(
            "PATCH", f"{plural}/{found['name']}/status", found.get("namespace"), body, _STRATEGIC
        )

    async def delete_pod(self, pod: Manifest) -> None:
        """Remove the pod from the API server: its processes are gone."""
        found = metadata(pod)
        body = {"gracePeriodSeconds": 0, "preconditions": {"uid": found["uid"]}}
        await self._call("DELETE", f"pods/{found['name']}", found["namespace"], body)

    async def token(self, pod: Manifest, chosen: Manifest) -> str:
        """Return a token of the pod's service account, bound to the pod."""
        found = metadata(pod)
        account = pod["spec"].get("serviceAccountName") or "default"
        spec: Manifest = {
            "expirationSeconds": chosen.get("expirationSeconds", 3600),
            "boundObjectRef": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": found["name"],
                "uid": found["uid"],
            },
        }
        if chosen.get("audience"):
            spec["audiences"] = [chosen["audience"]]
        answer = await self._call(
            "POST",
            f"serviceaccounts/{account}/token",
            found["namespace"],
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec},
        )
        return str(answer["status"]["token"])

    async def _call(
        self,
        method: str,
        url: str,
        namespace: str | None,
        body: Manifest,
        headers: dict[str, str] | None = None,
    ) -> Manifest:
        async with self._api.call_api(
            method,
            version="v1",
            namespace=namespace,
            url=url,
            content=json.dumps(body),
            headers=headers,
        ) as response:
            return dict(response.json())

    async def follow(self, plural: str, collection: "Collection") -> None:
        """Keep the collection equal to what the API server has, for ever."""
        while True:
            try:
                await self._follow_once(plural, collection)
            except watching.FAILURES as error:
                _LOG.warning("watch of %s: %s", plural, error or type(error).__name__)
            await asyncio.sleep(_RETRY_SECONDS)

    async def _follow_once(self, plural: str, collection: "Collection") -> None:
        listing = await watching.listing(self._api, "v1", plural)
        collection.replace(listing["items"])
        version = listing["metadata"]["resourceVersion"]
        while version:
            version = await self._watch(plural, version, collection)

    async def _watch(self, plural: str, version: str, collection: "Collection") -> str:
        """Apply the changes since a version; the last version, or nothing where it is too old."""
        async for event in watching.events(self._api, "v1", plural, version):
            if event["type"] == "ERROR":
                return ""
            version = event["object"]["metadata"]["resourceVersion"]
            if event["type"] != "BOOKMARK":
                collection.apply(event["object"], gone=event["type"] == "DELETED")
        return version


class Collection:
    """The objects of one kind, as the watch last saw them."""

    def __init__(self, changed: Changed) -> None:
        self._changed = changed
        self.objects: dict[str, Manifest] = {}
        self.complete = asyncio.Event()

    def replace(self, manifests: list[Manifest]) -> None:
        """Take a whole listing: what is not in it is gone."""
        present = {name_of(manifest) for manifest in manifests}
        for name in self.objects.keys() - present:
            self.apply(self.objects[name], gone=True)
        for manifest in manifests:
            self.apply(manifest, gone=False)
        self.complete.set()

    def apply(self, manifest: Manifest, *, gone: bool) -> None:
        """Take one change."""
        name = name_of(manifest)
        before = self.objects.get(name)
        if before is not None and metadata(before)["uid"] != metadata(manifest)["uid"]:
            self._changed(before, True)
        if gone:
            self.objects.pop(name, None)
        else:
            self.objects[name] = manifest
        self._changed(manifest, gone)
