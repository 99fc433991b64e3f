"""The probes of a container: when to ask, and what the answers so far mean."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, replace

import aiohttp

from node_runner.manifest import Manifest


@dataclass(frozen=True)
class Probe:
    """The numbers of a probe, with the defaults of Kubernetes."""

    handler: Manifest
    initial_delay: float
    period: float
    timeout: float
    success_threshold: int
    failure_threshold: int
    grace_seconds: int | None

    @classmethod
    def of(cls, spec: Manifest) -> "Probe":
        """Return the probe that a container's spec describes."""
        return cls(
            handler=spec,
            initial_delay=spec.get("initialDelaySeconds", 0),
            period=spec.get("periodSeconds", 10),
            timeout=spec.get("timeoutSeconds", 1),
            success_threshold=spec.get("successThreshold", 1),
            failure_threshold=spec.get("failureThreshold", 3),
            grace_seconds=spec.get("terminationGracePeriodSeconds"),
        )


@dataclass(frozen=True)
class Answers:
    """What a probe holds to be so, and how many answers in a row say the same or otherwise."""

    passing: bool
    same: int = 0
    last: bool | None = None

    def after(self, answer: bool, probe: Probe) -> "Answers":
        """Return the state after one more answer."""
        same = self.same + 1 if answer == self.last else 1
        threshold = probe.success_threshold if answer else probe.failure_threshold
        passing = answer if same >= threshold else self.passing
        return replace(self, passing=passing, same=same, last=answer)

    def failed(self, probe: Probe) -> bool:
        """Whether the answers so far are as many failures in a row as the probe allows."""
        return self.last is False and self.same >= probe.failure_threshold


def port_number(port: int | str, container: Manifest) -> int:
    """Return the number of a port given by number or by name."""
    if isinstance(port, int) or str(port).isdigit():
        return int(port)
    for entry in container.get("ports") or []:
        if entry.get("name") == port:
            return int(entry["containerPort"])
    raise ValueError(f"container {container['name']} has no port named {port}")


async def ask_http(
    session: aiohttp.ClientSession, action: Manifest, address: str, container: Manifest
) -> bool:
    """Return whether an HTTP GET is answered by 200 to 399."""
    host = action.get("host") or address
    scheme = str(action.get("scheme") or "HTTP").lower()
    path = "/" + str(action.get("path") or "/").lstrip("/")
    url = f"{scheme}://{host}:{port_number(action['port'], container)}{path}"
    try:
        async with session.get(url, headers=_headers(action), allow_redirects=False) as answer:
            return 200 <= answer.status < 400
    except (aiohttp.ClientError, OSError):
        return False


def _headers(action: Manifest) -> Mapping[str, str]:
    given = {entry["name"]: entry["value"] for entry in action.get("httpHeaders") or []}
    return {"User-Agent": "kube-probe/1.36", **given}


async def ask_tcp(action: Manifest, address: str, container: Manifest) -> bool:
    """Return whether something accepts a connection."""
    host = action.get("host") or address
    try:
        _, writer = await asyncio.open_connection(host, port_number(action["port"], container))
    except OSError:
        return False
    writer.close()
    return True
