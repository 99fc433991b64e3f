"""The prediction log in files: JSON lines, rotated by size and age, kept within a total size.

Each process writes a file of its own and holds a lock on it. A batch is one write; where it fails
half-way the file is cut back, so a crash leaves whole lines and at most one torn last line. A file
is synced when it is full and before it is compressed, not for each record: a crash of the machine
may cost what came since.
"""

import fcntl
import gzip
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from time import monotonic, time_ns

from inference_server.observability.prediction_record import Record


class PredictionFiles:
    """Writes one open file; compresses what is full, removes the oldest beyond the total size."""

    def __init__(
        self, folder: Path, *, file_bytes: int, file_seconds: float, total_bytes: int
    ) -> None:
        self._folder = folder
        self._file_bytes = file_bytes
        self._file_seconds = file_seconds
        self._total_bytes = total_bytes
        self._file: int | None = None
        self._size = 0
        self._opened = 0.0
        self._looked_back = False
        folder.mkdir(parents=True, exist_ok=True)

    def write(self, records: Sequence[Record], closing: threading.Event) -> int:  # noqa: ARG002
        """Append records; all or none. Raises OSError."""
        if self._file is None:
            self._open()
        assert self._file is not None  # noqa: S101
        data = b"".join(record.line() for record in records)
        try:
            written = os.write(self._file, data)
            if written != len(data):
                raise OSError(f"{written} of {len(data)} bytes written")
        except OSError:
            os.ftruncate(self._file, self._size)
            raise
        self._size += len(data)
        if self._size >= self._file_bytes:
            self._rotate()
        return len(records)

    def idle(self) -> None:
        """Rotate a file that is old; at first, see to what killed processes left."""
        if not self._looked_back:
            self._looked_back = True
            self._compress_orphans()
        if self._file is not None and monotonic() - self._opened >= self._file_seconds:
            self._rotate()

    def close(self) -> None:
        """Compress what is open."""
        if self._file is not None:
            self._rotate()

    def _open(self) -> None:
        self._path = self._folder / f"predictions-{time_ns()}-{os.getpid()}.jsonl"
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | os.O_NOFOLLOW
        self._file = os.open(self._path, flags, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_EX)
        self._size = 0
        self._opened = monotonic()

    def _rotate(self) -> None:
        assert self._file is not None  # noqa: S101
        file, self._file = self._file, None
        try:
            os.fsync(file)
            _compress(self._path)
        finally:
            os.close(file)  # not before: without the lock another process would take it
        self._make_room()

    def _compress_orphans(self) -> None:
        """Files whose process was killed have no lock."""
        for path in self._folder.glob("predictions-*.jsonl"):
            try:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _compress(path)
            except (BlockingIOError, FileNotFoundError):
                continue
        self._make_room()

    def _make_room(self) -> None:
        """Remove the oldest archives until the folder holds no more than it may."""
        files = sorted(self._folder.glob("predictions-*.jsonl.gz"), key=lambda path: path.name)
        sizes = {path: _size(path) for path in files}
        total = sum(sizes.values()) + sum(map(_size, self._folder.glob("predictions-*.jsonl")))
        for path in files:
            if total <= self._total_bytes:
                return
            path.unlink(missing_ok=True)
            total -= sizes[path]


def _compress(path: Path) -> None:
    partial = path.with_suffix(".jsonl.gz.partial")
    with path.open("rb") as plain, partial.open("wb") as file:
        with gzip.GzipFile(filename="", fileobj=file, mode="wb", compresslevel=6) as archive:
            shutil.copyfileobj(plain, archive)
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path.with_suffix(".jsonl.gz"))
    path.unlink()


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # another process has removed it
        return 0
