"""Durations as Go writes them: `1h30m`, `250ms`."""

from __future__ import annotations

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d{1,15}(?:\.\d{0,15})?|\.\d{1,15})(ns|us|µs|ms|s|m|h)", re.ASCII)
_LONGEST = 100


def go_seconds(duration: str) -> float | None:
    """Return the seconds of a Go duration; None where it is none."""
    if duration == "0":
        return 0.0
    parts = _PART.findall(duration) if len(duration) <= _LONGEST else []
    if not parts or "".join(number + unit for number, unit in parts) != duration:
        return None
    return float(sum(float(number) * _UNITS[unit] for number, unit in parts))
