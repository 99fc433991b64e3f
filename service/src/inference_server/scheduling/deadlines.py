"""One timer for all deadlines of a lane."""

import asyncio
from collections.abc import Callable
from math import inf
from time import perf_counter

_EARLY_SECONDS = 0.001  # event loops count milliseconds: a timer may be early by one


class Alarm:
    """Rings at the earliest deadline; a request costs a comparison with `at`."""

    __slots__ = ("_expire", "_loop", "_timer", "at")

    def __init__(self, loop: asyncio.AbstractEventLoop, expire: Callable[[float], float]) -> None:
        """`expire` answers what is late at a time, and returns the next deadline."""
        self._loop = loop
        self._expire = expire
        self._timer: asyncio.TimerHandle | None = None
        self.at = inf

    def set(self, deadline: float) -> None:
        """Ring at a deadline, instead of at the one known so far."""
        self.stop()
        self.at = deadline
        if deadline < inf:
            self._timer = self._loop.call_later(max(0.0, deadline - perf_counter()), self._ring)

    def stop(self) -> None:
        """Ring no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self.at = inf

    def _ring(self) -> None:
        self.stop()
        earliest = self._expire(perf_counter() + _EARLY_SECONDS)
        if earliest < self.at:
            self.set(earliest)
