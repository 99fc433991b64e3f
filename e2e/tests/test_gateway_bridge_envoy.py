"""The bridge looks at Envoy often, and asks for its routes only where they are new."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

import httpx
import pytest
from gateway_bridge.envoy import Admin

ROUTES: dict[str, Any] = {
    "configs": [
        {
            "route_config": {
                "virtual_hosts": [
                    {"routes": [{"redirect": {"host_redirect": "a.gateway-bridge.invalid"}}]}
                ]
            }
        }
    ]
}


class Envoy:
    """Answers as the admin API does, and counts what it was asked for."""

    def __init__(self) -> None:
        self.reloaded_at, self.status = 1, 200
        self.asked: Counter[str] = Counter()

    def __call__(self, request: httpx.Request) -> httpx.Response:
        what = request.url.params.get("resource", request.url.path)
        self.asked[what] += 1
        stats = {
            "stats": [{"name": "http.a.rds.b.config_reload_time_ms", "value": self.reloaded_at}]
        }
        answers: dict[str, Any] = {"/stats": stats, "dynamic_route_configs": ROUTES}
        return httpx.Response(self.status, json=answers.get(what, {}))


def looks(envoy: Envoy, *reloads: int) -> list[str]:
    """The revision that each look shows; before each Envoy has reloaded at this time."""

    async def run() -> list[str]:
        async with httpx.AsyncClient(transport=httpx.MockTransport(envoy)) as http:
            admin, seen = Admin("http://envoy", http), []
            for envoy.reloaded_at in reloads:
                seen.append((await admin.look()).revision)
            return seen

    return asyncio.run(run())


def test_routes_are_asked_for_once_for_each_reload() -> None:
    envoy = Envoy()
    looks(envoy, 1, 1, 1, 2, 2)
    assert envoy.asked["dynamic_route_configs"] == 2
    assert envoy.asked["dynamic_endpoint_configs"] == envoy.asked["/listeners"] == 5


def test_a_look_without_new_routes_shows_those_that_were_there() -> None:
    first, second = looks(Envoy(), 1, 1)
    assert first == second != ""


def test_an_envoy_that_does_not_answer_is_no_look() -> None:
    envoy = Envoy()
    envoy.status = 503
    with pytest.raises(httpx.HTTPStatusError):
        looks(envoy, 1)
