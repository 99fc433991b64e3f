"""Waits with a limit: what was waited for, and what was seen last."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")

# A slow or shared machine waits longer; what a test measures and bounds stays as it is.
PATIENCE = float(os.environ.get("E2E_PATIENCE", "1"))


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
    within *= PATIENCE
    limit = time.monotonic() + within
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() >= limit:
            seen = f"; last seen: {state()}" if state else ""
            raise WaitedTooLongError(f"waited {within:g} s for {what}{seen}")
        time.sleep(every)
