"""A file in memory that outlives a process: which workers have settled, and which models run.

A worker that crashes cannot say why. Before each run a lane sets one byte here, and clears it
afterwards; whoever finds the worker dead finds the bytes of the models that ran.
"""

import mmap
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

SLOTS = 512  # models times threads that one worker can mark; beyond it a run leaves no mark
_SLOT = 256  # a flag, then `name/version` padded with zeros
_HEAD = 64  # the flags below; at 8 connections that the worker has closed, at 16 its heartbeat
_NO_SLOT = _HEAD + SLOTS * _SLOT  # a byte that nobody reads
_WORKER = _NO_SLOT + 64
_SETTLED_ONCE, _SETTLED, _DRAINING, _CLOSED, _BEAT = 0, 1, 2, 8, 16


class Running:
    """The mark of one model version; each thread that runs it sets a byte of its own.

    A byte is claimed by a thread's first run; begin and end cost 0.2 us together.
    """

    def __init__(self, place: "Place", name: str, version: int | str) -> None:
        self._place = place
        self._label = f"{name}/{version}"
        self._flags = place.part
        self._mine = threading.local()
        self._claimed: list[int] = []

    def begin(self) -> None:
        """The model is about to run in this thread."""
        try:
            self._flags[self._mine.index] = 1
        except AttributeError:
            self._mine.index = self._place.claim(self._label)
            self._claimed.append(self._mine.index)
            self._flags[self._mine.index] = 1

    def end(self) -> None:
        """The model has come back, with outputs or with an error."""
        self._flags[self._mine.index] = 0

    def release(self) -> None:
        """No thread runs the version any more: its bytes serve its next load."""
        self._place.give_back(self._label, self._claimed)
        self._claimed = []
        self._mine = threading.local()

    def __enter__(self) -> None:
        self.begin()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.end()


class Board:
    """The whole file: one place for each worker."""

    def __init__(self, path: Path | None, workers: int) -> None:
        """Start afresh, without a path in memory only; raises OSError that names the file."""
        size = workers * _WORKER
        self._memory = memoryview(mmap.mmap(-1, size) if path is None else _map(path, size))
        self.places = [Place(self, number) for number in range(workers)]

    def part(self, number: int) -> memoryview:
        """The bytes of one worker."""
        return self._memory[number * _WORKER : (number + 1) * _WORKER]

    @property
    def settled(self) -> bool:
        """Whether every place has had a worker that loaded what it could."""
        return all(place.settled_once for place in self.places)


class Place:
    """One worker's part of the board."""

    def __init__(self, board: Board, number: int) -> None:
        self.board = board
        self.number = number
        self.part = board.part(number)
        self._counters = self.part[:_HEAD].cast("Q")
        self._free = iter(range(_HEAD, _NO_SLOT, _SLOT))
        self._unused: dict[str, list[int]] = {}

    @property
    def settled(self) -> bool:
        """Whether this worker has loaded what it could."""
        return bool(self.part[_SETTLED])

    @property
    def settled_once(self) -> bool:
        """Whether this worker, or one that it replaced, has loaded what it could."""
        return bool(self.part[_SETTLED_ONCE])

    def settle(self) -> None:
        """The models of this worker are loaded, or have failed to."""
        self.part[_SETTLED] = self.part[_SETTLED_ONCE] = 1

    @property
    def draining(self) -> bool:
        """Whether the worker is to stop."""
        return bool(self.part[_DRAINING])

    def drain(self) -> None:
        """The worker is to stop: from now on nobody is blamed for its end."""
        self.part[_DRAINING] = 1

    @property
    def closed(self) -> int:
        """Connections that the worker has closed since it was started."""
        return self._counters[_CLOSED // 8]

    def close_one(self) -> None:
        """The worker has closed a connection."""
        self._counters[_CLOSED // 8] += 1

    @property
    def beats(self) -> int:
        """Grows as long as the worker's event loop turns."""
        return self._counters[_BEAT // 8]

    def beat(self) -> None:
        """The event loop turns."""
        self._counters[_BEAT // 8] += 1

    def running(self, name: str, version: int | str) -> Running:
        """The mark of this model version."""
        return Running(self, name, version)

    def claim(self, label: str) -> int:
        """A byte for one thread that runs `name/version`."""
        unused = self._unused.setdefault(label, [])
        try:
            index = unused.pop()
        except IndexError:  # perhaps another thread has just taken the last one
            index = next(self._free, _NO_SLOT)
        if index != _NO_SLOT:
            self.part[index + 1 : index + _SLOT] = label.encode().ljust(_SLOT - 1, b"\0")
        return index

    def give_back(self, label: str, indexes: list[int]) -> None:
        """Threads that ran `name/version` have ended."""
        for index in indexes:
            self.part[index] = 0
        self._unused.setdefault(label, []).extend(indexes)

    def suspects(self) -> list[str]:
        """`name/version` of what ran when the worker ended, unless it was to stop."""
        return _suspects(self.part)

    def clear(self) -> None:
        """Make the place ready for another worker; that one has settled once stays."""
        self.part[_SETTLED:] = bytes(_WORKER - _SETTLED)


def _map(path: Path, size: int) -> mmap.mmap:
    path.unlink(missing_ok=True)  # cut off, it would end with SIGBUS whoever has it mapped still
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.posix_fallocate(descriptor, 0, size)  # a full disk is an error now, not a SIGBUS
        return mmap.mmap(descriptor, size)
    finally:
        os.close(descriptor)


def suspects_of_former_run(path: Path) -> list[str]:
    """What ran when the last process that used this file ended without being told to."""
    try:
        content = memoryview(path.read_bytes())
    except OSError:
        return []
    found: list[str] = []
    for start in range(0, len(content) - _WORKER + 1, _WORKER):
        found += _suspects(content[start : start + _WORKER])
    return sorted(set(found))


def _suspects(part: memoryview) -> list[str]:
    return [] if part[_DRAINING] else sorted(set(_marked(part)))


def _marked(part: memoryview) -> Iterator[str]:
    for start in range(_HEAD, _NO_SLOT, _SLOT):
        if part[start]:
            label = bytes(part[start + 1 : start + _SLOT]).rstrip(b"\0")
            yield label.decode(errors="replace")
