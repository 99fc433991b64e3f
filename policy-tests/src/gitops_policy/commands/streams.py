"""Terminal and files: colours, progress, and output that is written whole or not at all."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from threading import current_thread, main_thread
from typing import Any, TextIO

from gitops_policy.config import ConfigError

_FIRST, _EVERY = 1.0, 1.0


def wants_colour(stream: TextIO) -> bool:
    """Say whether a stream is a terminal whose user wants colours."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def never_refuse() -> None:
    """Let standard output and error show what their encoding cannot hold, instead of failing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def say(message: object) -> None:
    """Write one line for the person at the terminal."""
    print(f"gitops-policy: {message}", file=sys.stderr)


@contextmanager
def progress(what: str) -> Iterator[None]:
    """Show on a terminal that long work goes on, and for how long; leaves nothing behind."""
    can_tick = hasattr(signal, "setitimer") and current_thread() is main_thread()
    if not (sys.stderr.isatty() and can_tick):
        yield
        return
    started = time.monotonic()

    def tick(_signal: int, _frame: Any) -> None:
        seconds = time.monotonic() - started
        sys.stderr.write(f"\r\x1b[Kgitops-policy: {what} ... {seconds:.0f} s")
        sys.stderr.flush()

    before = signal.signal(signal.SIGALRM, tick)
    signal.setitimer(signal.ITIMER_REAL, _FIRST, _EVERY)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        if time.monotonic() - started > _FIRST:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()


def check_output(file: Path | None) -> None:
    """Raise ConfigError before the work where its result could not be written."""
    if file is None:
        return
    if file.is_dir():
        raise ConfigError(f"--output {file}: is a folder")
    if not file.parent.is_dir():
        raise ConfigError(f"--output {file}: there is no folder {file.parent}")


def write_output(content: str, file: Path) -> None:
    """Write a file by renaming a complete one into place; a device or a pipe is written to.

    Raises ConfigError where that is not possible.
    """
    try:
        if file.exists() and not file.is_file():
            file.write_text(content, encoding="utf-8", errors="backslashreplace")
        else:
            _replace(content, file.resolve())
    except OSError as error:
        raise ConfigError(f"--output {file}: {error.strerror}") from None


def _replace(content: str, file: Path) -> None:
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f".{file.name}.", dir=file.parent)
    temporary = Path(name)
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as stream:
            stream.write(content)
        temporary.chmod(file.stat().st_mode if file.exists() else 0o666 & ~_mask())
        temporary.replace(file)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
