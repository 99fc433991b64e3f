"""What all pods of this machine share: the API server's objects, images, addresses, proxies."""

import base64
import contextlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

import aiohttp

from node_runner.api import ApiServer, Collection
from node_runner.images import Images
from node_runner.manifest import Manifest, metadata
from node_runner.names import Addresses


class AddressesExhaustedError(Exception):
    """Every address of the network is in use."""


class AddressPool:
    """Addresses of the network's third octets `first` to `last`, the longest unused one next."""

    def __init__(self, network: str, first: int, last: int) -> None:
        self._lowest = int(IPv4Address(f"{network}.{first}.1"))
        self._size = (last - first + 1) * 256 - 2
        self._next = 0
        self._used: set[str] = set()

    def take(self, preferred: str = "") -> str:
        """Return an address that nobody holds: the preferred one if it is free."""
        for address in itertools.chain(self._within(preferred), self._turn()):
            if address not in self._used:
                self._used.add(address)
                return address
        raise AddressesExhaustedError(f"all {self._size} addresses are in use")

    def give_back(self, address: str) -> None:
        """Let the address be taken again, after all others had their turn."""
        self._used.discard(address)

    def _within(self, address: str) -> Iterator[str]:
        with contextlib.suppress(ValueError):
            if 0 <= int(IPv4Address(address)) - self._lowest < self._size:
                yield address

    def _turn(self) -> Iterator[str]:
        for _ in range(self._size):
            candidate = str(IPv4Address(self._lowest + self._next))
            self._next = (self._next + 1) % self._size
            if not candidate.endswith((".0", ".255")):
                yield candidate


def address_of(ip: str) -> str:
    """Return the address that a pod's status means: the reverse of `pod_ip`."""
    return f"127.{ip.partition('.')[2]}"


def pod_ip(address: str) -> str:
    """Return the address that the pod's status shows: 127.43.1.2 is 10.43.1.2 there.

    EndpointSlices refuse loopback addresses, and nothing else may be listened on without root.
    """
    return f"10.{address.partition('.')[2]}"


@dataclass
class Machine:
    """Everything that a pod needs of its surroundings."""

    api: ApiServer
    images: Images
    http: aiohttp.ClientSession
    folder: Path
    host_address: str
    addresses: AddressPool
    config_maps: Collection
    secrets: Collection
    nodes: Collection
    hosts: Addresses
    service_addresses: Callable[[], Addresses]
    readiness_changed: Callable[[], None]
    backoff_seconds: float
    tokens: dict[str, str] = field(default_factory=dict)

    def data(self, namespace: str, kind: str, name: str) -> Mapping[str, bytes] | None:
        """Return the data of a ConfigMap or Secret."""
        collection = self.secrets if kind == "Secret" else self.config_maps
        found = collection.objects.get(f"{namespace}/{name}")
        if found is None:
            return None
        encoded = found.get("data" if kind == "Secret" else "binaryData") or {}
        binary = {key: base64.b64decode(value) for key, value in encoded.items()}
        if kind == "Secret":
            return binary
        return {key: value.encode() for key, value in (found.get("data") or {}).items()} | binary

    def names(self) -> dict[tuple[str, int], str]:
        """Return what stands for cluster DNS."""
        kubernetes = f"{self.api.host}:{self.api.port}"
        return {
            ("kubernetes.default", 443): kubernetes,
            **self.service_addresses(),
            **self.hosts,
        }

    def allocatable(self, node: str) -> Mapping[str, str]:
        """Return what a node offers."""
        status = self.nodes.objects.get(node, {}).get("status") or {}
        return dict(status.get("allocatable") or {})

    def fake(self, node: str) -> bool:
        """Whether the node is one of kwok's, and has not failed."""
        found = self.nodes.objects.get(node)
        return found is not None and is_fake(found) and not has_failed(found)


def is_fake(node: Manifest) -> bool:
    """Whether kwok manages the node."""
    annotations = metadata(node).get("annotations") or {}
    return annotations.get("kwok.x-k8s.io/node") == "fake"


def has_failed(node: Manifest) -> bool:
    """Whether somebody let the node fail: label or annotation `e2e/failed` is `true`."""
    found = metadata(node)
    return any(
        (found.get(place) or {}).get("e2e/failed") == "true" for place in ("labels", "annotations")
    )
