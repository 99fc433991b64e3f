"""SIGTERM: not ready at once, serving on for a while, then the server's own shutdown."""

import asyncio
import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from inference_server.state import State

_log = logging.getLogger(__name__)


class Drain:
    """While entered, SIGTERM starts a drain; afterwards the former handler stops the server."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._former: Any = None

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        self._installed = threading.current_thread() is threading.main_thread()
        if self._installed:
            self._former = signal.signal(signal.SIGTERM, self._begin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._installed:
            signal.signal(signal.SIGTERM, self._former)

    def _begin(self, number: int, frame: FrameType | None) -> None:
        """A second SIGTERM ends the drain."""
        if self._state.draining:
            self._former(number, frame)
            return
        self._state.draining = True
        self._loop.call_soon_threadsafe(self._schedule)

    def _schedule(self) -> None:
        seconds = self._state.settings.drain_seconds
        _log.info("draining", extra={"reason": f"SIGTERM; stopping in {seconds:g} s"})
        self._loop.call_later(seconds, self._former, signal.SIGTERM, None)
