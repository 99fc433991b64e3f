"""What the kernel says about processes: /proc/PID/stat."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Stat:
    """One living process."""

    pid: int
    parent: int
    session: int
    started: int
    """Ticks from the machine's start: it tells a process from a later one with its pid."""
    cpu_seconds: float
    """With the children that it has waited for."""
    memory_bytes: int
    """Resident, shared pages counted in each process."""


def stat(pid: int) -> Stat | None:
    """The living process with a pid; None where there is none, or a zombie."""
    try:
        text = (PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    # The name stands in parentheses and may hold spaces and parentheses itself.
    fields = text[text.rindex(")") + 2 :].split()
    if fields[0] in "ZX":
        return None
    return Stat(
        pid=pid,
        parent=int(fields[1]),
        session=int(fields[3]),
        started=int(fields[19]),
        cpu_seconds=sum(int(fields[index]) for index in (11, 12, 13, 14)) / _TICKS,
        memory_bytes=int(fields[21]) * _PAGE,
    )


def processes() -> Iterator[Stat]:
    """All living processes of this machine."""
    for entry in PROC.iterdir():
        if entry.name.isdigit() and (found := stat(int(entry.name))) is not None:
            yield found
