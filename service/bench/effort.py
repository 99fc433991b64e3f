"""How much is measured: the whole bench in minutes, or a quick look."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass

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


def say(what: str) -> None:
    """Show on stderr what is measured now."""
    print(f"bench: {time.monotonic() - _BEGAN:5.0f} s  {what}", file=sys.stderr, flush=True)
