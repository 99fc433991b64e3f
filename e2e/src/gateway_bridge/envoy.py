"""What Envoy's admin API shows of the configuration that it serves now."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from gateway_bridge.translate import HEARTBEAT_DOMAIN, Endpoint

Weights = Mapping[int, int]
"""Weight by the index of the backend; one that gets no requests is absent."""
_CLUSTER = re.compile(r"\w+route/[^/]+/[^/]+/rule/\d+(/|$)")
_BACKEND = re.compile(r"/backend/(\d+)$")
_ROUTES = "/config_dump?resource=dynamic_route_configs"
_ENDPOINTS = "/config_dump?include_eds&resource=dynamic_endpoint_configs"
_LISTENERS = "/listeners?format=json"
_RELOADED = r"/stats?format=json&filter=\.rds\..*\.config_reload_time_ms$"


@dataclass(frozen=True)
class Shown:
    """One look at Envoy: the revision of the documents, weights and endpoints by rule, ports."""

    revision: str
    weights: Mapping[tuple[str, str, int], Weights]
    endpoints: Mapping[tuple[str, str, int, int], frozenset[Endpoint]]
    ports: frozenset[int]


class Admin:
    """Looks at Envoy through its admin API, and asks for the routes only where they are new.

    They are hundreds of kilobytes, which cost Envoy and the reader 50 ms each time.
    """

    def __init__(self, url: str, http: httpx.AsyncClient) -> None:
        self._url, self._http = url, http
        self._reloaded: Any = None
        self._routes: Any = None

    async def look(self) -> Shown:
        """What Envoy shows now; httpx.HTTPError where it does not answer."""
        reloaded, endpoints, listeners = await asyncio.gather(
            self._get(_RELOADED), self._get(_ENDPOINTS), self._get(_LISTENERS)
        )
        if reloaded != self._reloaded:
            # Asked after the times: routes newer than them are only asked for once more.
            self._routes, self._reloaded = await self._get(_ROUTES), reloaded
        return shown(self._routes, endpoints, listeners)

    async def _get(self, path: str) -> Any:
        answer = await self._http.get(f"{self._url}{path}")
        return answer.raise_for_status().json()


def shown(routes: Mapping[str, Any], endpoints: Mapping[str, Any], listeners: Any) -> Shown:
    """Read the answers of /config_dump (routes, endpoints) and /listeners."""
    localities = dict(_localities(endpoints))
    found: dict[tuple[str, str, int], Weights] = {}
    revision = ""
    for route in _routes(routes):
        host = route.get("redirect", {}).get("host_redirect", "")
        if host.endswith(f".{HEARTBEAT_DOMAIN}"):
            revision = host.removesuffix(f".{HEARTBEAT_DOMAIN}")
        found.update(_weights(route.get("route", {}), localities))
    return Shown(
        revision=revision,
        weights=found,
        endpoints={
            (*_rule(cluster), index): addresses
            for cluster, backends in localities.items()
            if _CLUSTER.match(cluster)
            for index, (_, addresses) in backends.items()
        },
        ports=frozenset(_ports(listeners)),
    )


def _routes(dump: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for config in dump.get("configs", []):
        for host in config.get("route_config", {}).get("virtual_hosts", []):
            yield from host.get("routes", [])


def _localities(
    dump: Mapping[str, Any],
) -> Iterator[tuple[str, dict[int, tuple[int, frozenset[Endpoint]]]]]:
    """By cluster: weight and addresses of each backend that gets requests."""
    for config in dump.get("configs", []):
        assignment = config.get("endpoint_config", {})
        backends = {}
        for locality in assignment.get("endpoints", []):
            match = _BACKEND.search(locality.get("locality", {}).get("region", ""))
            if match:
                addresses = frozenset(_addresses(locality))
                backends[int(match[1])] = (locality.get("load_balancing_weight", 0), addresses)
        yield assignment.get("cluster_name", ""), backends


def _addresses(locality: Mapping[str, Any]) -> Iterator[Endpoint]:
    for entry in locality.get("lb_endpoints", []):
        address = entry["endpoint"]["address"].get("socket_address", {})
        yield Endpoint(address.get("address", ""), address.get("port_value", 0))


def _weights(
    action: Mapping[str, Any], localities: Mapping[str, Mapping[int, tuple[int, Any]]]
) -> Iterator[tuple[tuple[str, str, int], Weights]]:
    """Weights stand with the localities of one cluster, or with clusters of one backend each."""
    cluster = action.get("cluster", "")
    if _CLUSTER.match(cluster):
        backends = localities.get(cluster, {})
        yield _rule(cluster), {index: weight for index, (weight, _) in backends.items() if weight}
    split: dict[tuple[str, str, int], dict[int, int]] = {}
    for entry in action.get("weighted_clusters", {}).get("clusters", []):
        match = _BACKEND.search(entry["name"])
        if match and entry.get("weight", 0):
            split.setdefault(_rule(entry["name"]), {})[int(match[1])] = entry["weight"]
    yield from split.items()


def _rule(cluster: str) -> tuple[str, str, int]:
    _, namespace, name, _, rule = cluster.split("/")[:5]
    return namespace, name, int(rule)


def _ports(listeners: Any) -> Iterator[int]:
    for status in listeners.get("listener_statuses", []):
        yield status.get("local_address", {}).get("socket_address", {}).get("port_value", 0)
