"""What holds for the tests of every package."""

from __future__ import annotations

import signal

# A shell starts what it runs in the background with SIGINT ignored, and programs inherit that:
# those that the tests interrupt would never notice.
signal.signal(signal.SIGINT, signal.default_int_handler)
