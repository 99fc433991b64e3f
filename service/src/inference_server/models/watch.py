"""Looks at the model repository every so often."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

_log = logging.getLogger(__name__)


class Watch:
    """Calls `refresh` again and again; what it raises is logged and changes nothing."""

    def __init__(self, seconds: float, refresh: Callable[[], Awaitable[None]]) -> None:
        self._seconds = seconds
        self._refresh = refresh
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, after the first pause."""
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._seconds)
            try:
                await self._refresh()
            except OSError as error:
                reason = error.strerror or type(error).__name__
                _log.error("the model repository cannot be read", extra={"reason": reason})
            except Exception:
                _log.exception("the model repository could not be compared")

    async def stop(self) -> None:
        """End; a refresh that goes on is cancelled."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
