"""A file, or a folder of files, that is read again when it changes."""

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")
Fingerprint = tuple[tuple[str, int, int, int], ...]

_log = logging.getLogger(__name__)


class KeyFileError(Exception):
    """A file of keys that cannot be used; the message names the place, never the content."""


class Watched(Generic[T]):
    """What stands in a file now; where a new content is broken, what stood there before."""

    def __init__(self, path: Path, read: Callable[[Path], T], noun: str) -> None:
        """Raises KeyFileError, as `read` does where the content cannot be used."""
        self._path = path
        self._read = read
        self._noun = noun
        self._seen = fingerprint(path)
        self.value = read(path)

    def refresh(self, forced: bool) -> None:
        """Look whether it changed, and read it where it did."""
        now = fingerprint(self._path)
        if now == self._seen and not forced:
            return
        self._seen = now
        try:
            self.value = self._read(self._path)
        except KeyFileError as error:
            _log.error("%s not replaced", self._noun, extra={"reason": str(error)})
            return
        _log.info("%s replaced", self._noun, extra={"reason": str(self._path)})


def fingerprint(path: Path) -> Fingerprint:
    """Name, inode, time and size of each file; links are followed, so a swapped Secret shows."""
    try:
        files = sorted(path.iterdir()) if path.is_dir() else [path]
        marks = []
        for file in files:
            stat = file.stat()
            marks.append((file.name, stat.st_ino, stat.st_mtime_ns, stat.st_size))
        return tuple(marks)
    except OSError:
        return ()  # away, or being swapped: whatever comes next differs
