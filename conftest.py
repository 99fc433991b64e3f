"""What holds for the tests of every package."""

from __future__ import annotations

import gc
import signal

# A shell starts what it runs in the background with SIGINT ignored, and programs inherit that:
# those that the tests interrupt would never notice.
signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Thousands of tests live as long as the run: no collection of garbage need look at them."""
    gc.collect()
    gc.freeze()
