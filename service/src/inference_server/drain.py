"""SIGTERM or SIGINT: not ready at once, serving on for a while, then the server's own shutdown."""

import asyncio
import logging
import signal
import threading
from types import FrameType, TracebackType
from typing import Any, Self

from inference_server.state import State
from inference_server.supervisor.place import here, supervised

_SIGNALS = (signal.SIGTERM, signal.SIGINT)
_LATER = 2.0  # seconds by which a supervisor is expected to have ended the drain itself

_log = logging.getLogger(__name__)


class Drain:
    """While entered, a signal starts a drain; its end, or a second signal, stops the server."""

    def __init__(self, state: State) -> None:
        self._state = state
        self._former: dict[int, Any] = {}

    def __enter__(self) -> Self:
        self._loop = asyncio.get_running_loop()
        if threading.current_thread() is threading.main_thread():
            self._former = {number: signal.getsignal(number) for number in _SIGNALS}
            for number in _SIGNALS:
                if self._former[number] is not signal.SIG_IGN:
                    signal.signal(number, self._begin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number, handler in self._former.items():
            signal.signal(number, handler)

    def _begin(self, number: int, frame: FrameType | None) -> None:
        """A second signal ends the drain."""
        if self._state.draining:
            self._former[number](number, frame)
            return
        self._state.draining = True
        here().drain()
        self._loop.call_soon_threadsafe(self._schedule, signal.Signals(number).name)

    def _schedule(self, name: str) -> None:
        seconds = self._state.settings.drain_seconds
        _log.info("draining", extra={"reason": f"{name}; stopping in {seconds:g} s"})
        if supervised():
            seconds += _LATER  # only where this worker alone was signalled
        self._loop.call_later(seconds, self._former[signal.SIGTERM], signal.SIGTERM, None)
