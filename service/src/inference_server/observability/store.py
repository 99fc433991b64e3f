"""Where requests are counted: float64 slots, shared with the other workers where there are some.

With a folder each worker has two files there: `.values`, its slots, mapped, so that what was
counted survives a killed process, and `.series`, one JSON line `[family, labels, slot]` each.
The lock on `.values` ends with its process: a file without one belongs to a worker that died, whose
counters the next worker adds to `dead.json`.
"""

import fcntl
import mmap
import os
import tempfile
import threading
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import orjson

from inference_server.observability.series import (
    Counter,
    Family,
    Gauge,
    Histogram,
    Key,
    Series,
    floats,
)

__all__ = ["Counter", "Family", "Gauge", "Histogram", "Key", "Store"]

_PAGE = 64 * 1024
_SLOT = 8


_Kind = TypeVar("_Kind", bound=Series)


class Store:
    """All series of one process, and a view of those of all workers."""

    def __init__(self, families: Iterable[Family], folder: Path | None = None) -> None:
        self._families = {family.name: family for family in families}
        self._folder = folder
        self._series: dict[Key, Series] = {}
        self._places: dict[Key, int] = {}
        self._free: defaultdict[int, list[int]] = defaultdict(list)
        self._pages: list[memoryview[float]] = []
        self._next = 0
        self._guard = threading.RLock()
        self._journal: int | None = None
        self._nowhere = memoryview(bytearray(_PAGE)).cast("d")
        if folder is not None:
            with self._locked(fcntl.LOCK_EX):
                self._bury_the_dead()
                self._open(folder)

    def series(self, kind: type[_Kind], family: Family, *labels: str) -> _Kind:
        """The series of these label values, made at zero if it is new."""
        key = (family.name, labels)
        with self._guard:
            found = self._series.get(key)
            if found is None:
                place = self._take(family.size)
                page, at = divmod(place, _PAGE // _SLOT)
                found = self._series[key] = kind(family, self._pages[page], at)
                self._places[key] = place
                if self._journal is not None:
                    os.write(self._journal, _line(key, place))
        assert isinstance(found, kind)  # noqa: S101
        return found

    def drop(self, wanted: Callable[[Key], bool]) -> None:
        """Forget series; whoever still holds one counts into nothing, other workers keep theirs."""
        with self._guard, self._locked(fcntl.LOCK_EX):
            gone = [key for key in self._series if wanted(key)]
            if not gone:
                return
            values = {key: self._series[key].values for key in gone}
            if self._folder is not None:
                self._add_to_dead(values)
            for key in gone:
                series, place = self._series.pop(key), self._places.pop(key)
                size = self._families[key[0]].size
                series.end(self._nowhere)
                self._free[size].append(place)
            if self._folder is not None:
                self._write_journal()

    def totals(self) -> dict[Key, list[float]]:
        """The values of every series: counters of all workers, gauges of those alive.

        A model's series is there while a living worker has it.
        """
        if self._folder is None:
            with self._guard:
                return {key: series.values for key, series in self._series.items()}
        merged: dict[Key, list[float]] = {}
        living: set[Key] = set()
        with self._locked(fcntl.LOCK_SH):
            for alive, key, values in self._everywhere():
                family = self._families[key[0]]
                if alive:
                    living.add(key)
                if alive or family.kind != "gauge":
                    _merge(merged, key, values, family.merge)
        return {
            k: v for k, v in merged.items() if k in living or not _of_a_model(self._families[k[0]])
        }

    def close(self) -> None:
        """Leave: from now on this worker counts as ended."""
        if self._journal is not None:
            os.close(self._journal)
            self._journal = None
            fcntl.flock(self._values, fcntl.LOCK_UN)  # the mapped pages have descriptors as well
            os.close(self._values)

    @property
    def deaths(self) -> int:
        """Workers that have ended before this one started, or since."""
        if self._folder is None:
            return 0
        with self._locked(fcntl.LOCK_SH):
            dead = sum(not _alive(path) for path in self._folder.glob("*.values"))
            return dead + self._read_dead()[0]

    def _take(self, size: int) -> int:
        if self._free[size]:
            return self._free[size].pop()
        in_page = _PAGE // _SLOT
        if self._next + size > len(self._pages) * in_page:
            self._next = len(self._pages) * in_page
            self._pages.append(self._new_page(self._next * _SLOT))
        self._next += size
        return self._next - size

    def _new_page(self, offset: int) -> "memoryview[float]":
        if self._folder is None:
            return memoryview(bytearray(_PAGE)).cast("d")
        os.ftruncate(self._values, offset + _PAGE)
        return memoryview(mmap.mmap(self._values, _PAGE, offset=offset)).cast("d")

    def _open(self, folder: Path) -> None:
        self._values, name = tempfile.mkstemp(".values", f"{os.getpid()}-", folder)
        self._journal_path = Path(name).with_suffix(".series")
        fcntl.flock(self._values, fcntl.LOCK_EX)
        self._write_journal()

    def _write_journal(self) -> None:
        new = self._journal_path.with_suffix(".new")
        new.write_bytes(b"".join(_line(key, place) for key, place in self._places.items()))
        new.replace(self._journal_path)
        if self._journal is not None:
            os.close(self._journal)
        self._journal = os.open(self._journal_path, os.O_WRONLY | os.O_APPEND)

    @contextmanager
    def _locked(self, how: int) -> Iterator[None]:
        if self._folder is None:
            yield
            return
        lock = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o600)
        try:
            fcntl.flock(lock, how)
            yield
        finally:
            os.close(lock)

    def _everywhere(self) -> Iterator[tuple[bool, Key, list[float]]]:
        assert self._folder is not None  # noqa: S101
        for path in self._folder.glob("*.values"):
            alive = _alive(path)
            yield from ((alive, key, values) for key, values in self._read(path))
        for key, values in self._read_dead()[1].items():
            yield False, key, values

    def _read(self, path: Path) -> Iterator[tuple[Key, list[float]]]:
        lines = path.with_suffix(".series").read_bytes().split(b"\n")[:-1]
        slots = memoryview(path.read_bytes()).cast("d")  # after the series: all of them are in it
        for name, labels, place in map(orjson.loads, lines):
            size = self._families[name].size
            yield (name, tuple(labels)), floats(slots, place, size)

    def _bury_the_dead(self) -> None:
        assert self._folder is not None  # noqa: S101
        for path in self._folder.glob("*.values"):
            if not _alive(path):
                self._add_to_dead(dict(self._read(path)), deaths=1)
                path.unlink()
                path.with_suffix(".series").unlink()

    def _read_dead(self) -> tuple[int, dict[Key, list[float]]]:
        assert self._folder is not None  # noqa: S101
        path = self._folder / "dead.json"
        if not path.exists():
            return 0, {}
        deaths, series = orjson.loads(path.read_bytes())
        return deaths, {(name, tuple(labels)): values for name, labels, values in series}

    def _add_to_dead(self, values: dict[Key, list[float]], deaths: int = 0) -> None:
        assert self._folder is not None  # noqa: S101
        before, dead = self._read_dead()
        for key, counted in values.items():
            if self._families[key[0]].kind != "gauge":
                _merge(dead, key, counted, "sum")
        lines = [[*key, counted] for key, counted in dead.items()]
        new = self._folder / "dead.new"
        new.write_bytes(orjson.dumps([before + deaths, lines]))
        new.replace(self._folder / "dead.json")


def _line(key: Key, place: int) -> bytes:
    return orjson.dumps([*key, place]) + b"\n"


def _of_a_model(family: Family) -> bool:
    return "model_id" in family.labels


def _merge(into: dict[Key, list[float]], key: Key, values: list[float], how: str) -> None:
    former = into.get(key)
    if former is None:
        into[key] = values
    elif how == "sum":
        into[key] = [a + b for a, b in zip(former, values, strict=True)]
    else:
        into[key] = [max(*former, *values) if how == "max" else min(*former, *values)]


def _alive(path: Path) -> bool:
    values = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(values, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(values)
    return False
