"""SIGHUP, or a change of the settings file: what may change while serving is read again."""

import asyncio
import logging
import signal
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inference_server import options
from inference_server.settings import InvalidSettingsError, Settings

_SECONDS = 1.0  # between two looks at the settings file

_log = logging.getLogger(__name__)

OnReload = Callable[[Settings], None]


class Reload:
    """While entered, reads the settings again when asked and passes them to `on_reload`.

    `on_reload` is called in the event loop, after a SIGHUP even where no setting has changed: keys
    and models are read from files of their own. What is wrong leaves everything as it was.
    """

    def __init__(self, settings: Settings, on_reload: OnReload) -> None:
        self._settings = settings
        self._on_reload = on_reload
        self._former: Any = None

    def __enter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._watching = loop.create_task(self._watch())
        if threading.current_thread() is threading.main_thread():
            self._former = signal.signal(
                signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self.reload, "SIGHUP")
            )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._watching.cancel()
        if self._former is not None:
            signal.signal(signal.SIGHUP, self._former)

    def reload(self, cause: str) -> None:
        """Read the settings again, now."""
        try:
            read = options.reread()
        except InvalidSettingsError as error:
            _log.error("settings kept as they were", extra={"reason": str(error)})
            return
        self._settings, changes, waiting = options.take_over(self._settings, read)
        for line in waiting:
            _log.warning("setting changes with the next start only: %s", line)
        _log.info("reloaded", extra={"reason": "; ".join([cause, *changes])})
        logging.getLogger().setLevel(self._settings.log_level.upper())
        try:
            self._on_reload(self._settings)
        except Exception:
            _log.exception("reload failed")

    async def _watch(self) -> None:
        file = self._settings.settings_file
        if file is None:
            return
        seen = _signature(file)
        while True:
            await asyncio.sleep(_SECONDS)
            if (current := _signature(file)) != seen:
                seen = current
                self.reload(f"{file} has changed")


def _signature(file: Path) -> tuple[int, int, int] | None:
    """What tells one content from another; a ConfigMap changes the link, thus the inode."""
    try:
        status = file.stat()
    except OSError:
        return None
    return status.st_ino, status.st_mtime_ns, status.st_size
