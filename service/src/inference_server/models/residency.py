"""Memory of models: what one takes, and which ones leave when another needs room."""

import ctypes
import os
from collections.abc import Iterable
from pathlib import Path

from inference_server.models.entry import Entry, State

_PAGE = os.sysconf("SC_PAGESIZE")
_GRACE = 0.05  # seconds; who just got a model has yet to submit


def resident_bytes() -> int:
    """Memory of this process that is really there."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def give_memory_back() -> None:
    """Have glibc return freed pages to the system; other C libraries do so by themselves."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def size_on_disk(entry: Entry) -> int:
    """Bytes of a version's folder, external weights included: what loading it needs at least."""
    if entry.file.config.ensemble is not None:
        return 0
    try:
        return sum(path.stat().st_size for path in entry.file.path.parent.iterdir())
    except OSError:
        return 0


def choose_victims(
    entries: Iterable[Entry], wanted: Entry, budget: int, now: float
) -> list[Entry] | None:
    """The least recently used idle models that make room for another; None where they cannot.

    Models that a request may not load again stay, and so do members of an ensemble in memory.
    """
    everyone = list(entries)
    resident = [each for each in everyone if each.served is not None and each is not wanted]
    excess = sum(each.memory for each in resident) + wanted.memory - budget
    victims = []
    for each in sorted(resident, key=_last_used):
        if excess <= 0:
            break
        if _may_leave(each, wanted, resident, now):
            victims.append(each)
            excess -= each.memory
    return victims if excess <= 0 else None


def _last_used(entry: Entry) -> float:
    return entry.served.used if entry.served is not None else 0.0


def _may_leave(entry: Entry, wanted: Entry, resident: list[Entry], now: float) -> bool:
    served = entry.served
    return (
        served is not None
        and entry.state is State.READY
        and entry.on_demand
        and served.lane.idle
        and now - served.used > _GRACE
        and not any(entry.is_member_of(other) for other in (*resident, wanted))
    )
