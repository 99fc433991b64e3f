"""How often a client may ask: a token bucket for each, counted in this process."""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

from inference_server.security.client import Rate

MAX_CLIENTS = 10_000


class Limiter(Protocol):
    """Takes tokens out of the buckets of clients."""

    def take(self, client: str, rate: Rate) -> float:
        """Take a token: 0, or the seconds until there is one."""


class LocalLimiter:
    """Buckets of this process, one of `workers` that share each client's rate evenly.

    A client's connections may not reach the workers evenly: then it gets less than its rate,
    never more. Of more than 10,000 clients the one that asked longest ago is forgotten, and
    would find its bucket full again.
    """

    def __init__(self, workers: int = 1, clock: Callable[[], float] = time.monotonic) -> None:
        self._workers = workers
        self._clock = clock
        # When each bucket will be full again: all that a token bucket needs to remember (the
        # generic cell rate algorithm of ITU-T I.371).
        self._full_at: OrderedDict[str, float] = OrderedDict()

    def take(self, client: str, rate: Rate) -> float:
        """Take a token: 0, or the seconds until there is one."""
        now = self._clock()
        step = 60 * self._workers / rate.per_minute
        full_at = max(self._full_at.get(client, now), now)
        wait = full_at - now - step * (max(1.0, rate.burst / self._workers) - 1)
        if wait > step / 1000:  # less is rounding of the clock's float
            return wait
        self._full_at[client] = full_at + step
        self._full_at.move_to_end(client)
        if len(self._full_at) > MAX_CLIENTS:
            self._full_at.popitem(last=False)
        return 0.0
