"""How much is measured: the whole bench in minutes, or a quick look."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_BEGAN = time.monotonic()


@dataclass(frozen=True)
class Effort:
    """Rounds in turn, and seconds of load in each."""

    rounds: int = 3
    seconds: float = 1.5
    slow: float = 5.0  # for models of tens of milliseconds
    overload: float = 12.0
    soak: int = 1_000_000
    every_variant: bool = True

    def turns(self, what: str) -> Iterator[int]:
        """Count the rounds, and say so."""
        for number in range(self.rounds):
            say(f"{what}, round {number + 1} of {self.rounds}")
            yield number


FULL = Effort()
QUICK = Effort(rounds=1, seconds=0.5, slow=1.5, overload=5.0, soak=40_000, every_variant=False)


class Machine:
    """What others took of the cores while the bench ran."""

    def __init__(self) -> None:
        self._load = os.getloadavg()[0]
        self._began = self._figures()

    def said(self) -> str:
        """Say how quiet the machine was; a busy one makes every ratio less sure."""
        moment, busy, own = (b - a for a, b in zip(self._began, self._figures(), strict=True))
        others = max(0.0, busy - own) / moment
        return f"load {self._load:.1f} at the start, others took {others:.2f} cores meanwhile"

    def _figures(self) -> tuple[float, float, float]:
        """Seconds on the clock, of all cores at work, and of this bench with its processes."""
        fields = list(map(int, Path("/proc/stat").read_text().split("\n")[0].split()[1:9]))
        busy = (sum(fields) - fields[3] - fields[4]) / os.sysconf("SC_CLK_TCK")
        own = os.times()
        return own.elapsed, busy, own.user + own.system + own.children_user + own.children_system


def say(what: str) -> None:
    """Show on stderr what is measured now."""
    print(f"bench: {time.monotonic() - _BEGAN:5.0f} s  {what}", file=sys.stderr, flush=True)
