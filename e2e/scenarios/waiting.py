"""Waits with a limit: what was waited for, and what was seen last."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class WaitedTooLongError(AssertionError):
    """What was waited for did not come; the message says what, how long, and what was there."""


def wait_for(
    what: str,
    look: Callable[[], T | None],
    within: float,
    state: Callable[[], object] | None = None,
    every: float = 0.2,
) -> T:
    """Look until there is something true to return; WaitedTooLongError after `within` seconds.

    `what` completes the sentence "waited 30 s for ..."; `state` tells what was seen last.
    """
    limit = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() >= limit:
            seen = f"; last seen: {state()}" if state else ""
            raise WaitedTooLongError(f"waited {within:g} s for {what}{seen}")
        time.sleep(every)
