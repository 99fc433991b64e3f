"""Open-loop traffic of real requests, split between stable and canary by weight."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import aiohttp

from release_play.open_loop import OpenLoop


@dataclass(frozen=True)
class Request:
    """One request to send: a path and a JSON body."""

    path: str
    body: bytes


@dataclass(frozen=True)
class Split:
    """Where requests go: `weight` percent to the canary, the rest to stable (base URLs)."""

    stable: str
    canary: str | None = None
    weight: int = 0

    def choose(self, draw: float) -> str:
        """The side, `stable` or `canary`, for a draw in [0, 1)."""
        return "canary" if self.canary and draw * 100 < self.weight else "stable"


@dataclass
class Tally:
    """What was sent since the count began, by side."""

    requests: Counter[str] = field(default_factory=Counter)
    statuses: Counter[tuple[str, int]] = field(default_factory=Counter)
    lost: int = 0
    """Requests that got no complete HTTP response."""


class Traffic(OpenLoop):
    """Sends `rate` requests per second until the context is left."""

    def __init__(
        self,
        requests: Sequence[Request],
        rate: float,
        split: Split,
        headers: Mapping[str, str],
        seed: int = 0,
    ):
        super().__init__(rate)
        self._requests, self.split = requests, split
        self._headers = {"Content-Type": "application/json", **headers}
        self._random = random.Random(seed)  # noqa: S311 (the split needs no secrecy)
        self.tally = Tally()

    def begin_count(self) -> None:
        """Start a new tally, for the next release."""
        self.tally = Tally()

    async def send(self, session: aiohttp.ClientSession) -> None:
        """Send one request to a side, and count what became of it."""
        split, tally = self.split, self.tally
        side = split.choose(self._random.random())
        base = split.canary if side == "canary" else split.stable
        request = self._random.choice(self._requests)
        tally.requests[side] += 1
        try:
            async with session.post(
                f"{base}{request.path}",
                data=request.body,
                headers=self._headers,
            ) as response:
                await response.read()
                tally.statuses[side, response.status] += 1
        except (aiohttp.ClientError, TimeoutError):
            tally.lost += 1
