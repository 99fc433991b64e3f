"""Who may use what at the same time: tests run in several processes on one cluster."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_LOCKS = Path(__file__).resolve().parents[1] / "build" / "e2e"


@contextmanager
def held(what: str, *, alone: bool) -> Iterator[None]:
    """Use `what` beside others, or alone: then it waits for them, and they for it."""
    _LOCKS.mkdir(parents=True, exist_ok=True)
    with (_LOCKS / f"{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield
