"""Durations as Go writes them: `15s`, `1m30s`, `1.5h`."""

import re

_UNITS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_WHOLE = re.compile(rf"([+-]?)((?:{_PART.pattern})+)")


def seconds(text: str) -> float:
    """Seconds of a Go duration; raises ValueError where Go's parser would."""
    if text in ("0", "+0", "-0"):
        return 0.0
    match = _WHOLE.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not a duration such as 15s or 10m")
    total = sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(match.group(2)))
    return -total if match.group(1) == "-" else total
