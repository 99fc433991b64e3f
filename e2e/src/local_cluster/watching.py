"""Listing and watching one kind of object of an API server, by kr8s; what may fail on the way."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import kr8s
import kr8s.asyncio

_WATCH_SECONDS = 240
# kr8s sets none: a listing that an API server takes while it starts may never be answered.
_ANSWER_SECONDS = 30

FAILURES = (
    kr8s.ServerError,
    kr8s.APITimeoutError,
    kr8s.ConnectionClosedError,
    httpx.HTTPError,
    # One refused request makes kr8s close the client of all others.
    RuntimeError,
)


async def connect(kubeconfig: Path) -> kr8s.asyncio.Api:
    """Read the kubeconfig; the server itself is asked later."""
    api = await kr8s.asyncio.api(kubeconfig=str(kubeconfig))
    api.timeout = _ANSWER_SECONDS
    return api


async def listing(api: kr8s.asyncio.Api, version: str, plural: str) -> dict[str, Any]:
    """All objects of a kind, and in their metadata the version to watch from; or FAILURES."""
    async with api.call_api("GET", version=version, url=plural) as response:
        return dict(response.json())


async def events(
    api: kr8s.asyncio.Api, version: str, plural: str, since: str
) -> AsyncIterator[dict[str, Any]]:
    """Changes and bookmarks since a resourceVersion, until the server ends the watch."""
    parameters = {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": since,
        "timeoutSeconds": str(_WATCH_SECONDS),
    }
    async with api.call_api(
        "GET",
        version=version,
        url=plural,
        stream=True,
        params=parameters,
        timeout=httpx.Timeout(10, read=_WATCH_SECONDS + 30),
    ) as response:
        async for line in response.aiter_lines():
            if line:
                yield json.loads(line)
