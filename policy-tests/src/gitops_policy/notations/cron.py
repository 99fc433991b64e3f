"""Cron schedules as Kubernetes' CronJob controller reads them (github.com/robfig/cron)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from gitops_policy.notations.durations import go_seconds

_DESCRIPTORS = frozenset(
    ("@yearly", "@annually", "@monthly", "@weekly", "@daily", "@midnight", "@hourly")
)
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_WEEKDAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_LONGEST_MONTHS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


@dataclass(frozen=True, slots=True)
class _Field:
    name: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_MINUTE_TO_WEEKDAY = (
    _Field("minute", 0, 59),
    _Field("hour", 0, 23),
    _Field("day of month", 1, 31),
    _Field("month", 1, 12, _MONTHS),
    _Field("day of week", 0, 6, _WEEKDAYS),
)
_SECOND = _Field("second", 0, 59)


def fault(schedule: str, *, seconds: bool = False) -> str:
    """Say what is wrong with a schedule; empty where it is one that comes round.

    `seconds` asks for a sixth field in front, as CloudNativePG's ScheduledBackup does.
    """
    schedule = re.sub(r"^(?:CRON_)?TZ=\S+\s+", "", schedule)
    if schedule.startswith("@"):
        return _descriptor_fault(schedule)
    wanted = (_SECOND, *_MINUTE_TO_WEEKDAY) if seconds else _MINUTE_TO_WEEKDAY
    parts = schedule.split()
    if len(parts) != len(wanted):
        return f"has {len(parts)} fields, not {len(wanted)} ({', '.join(f.name for f in wanted)})"
    values = []
    for part, kind in zip(parts, wanted, strict=True):
        found = _values(part, kind)
        if isinstance(found, str):
            return found
        values.append(found)
    return _never(parts[-3:], values[-3:])


def _descriptor_fault(schedule: str) -> str:
    if schedule in _DESCRIPTORS:
        return ""
    every = schedule.removeprefix("@every ")
    if every != schedule and go_seconds(every) is not None:
        return ""
    return f"{schedule.split()[0]!r} is none of {', '.join(sorted(_DESCRIPTORS))} or @every 1h30m"


def _values(part: str, kind: _Field) -> set[int] | str:
    """Return the values that a field allows, or what is wrong with it."""
    allowed: set[int] = set()
    for term in part.split(","):
        span, slash, step = term.partition("/")
        low, dash, high = span.partition("-")
        if low in ("*", "?"):
            first, last = kind.low, kind.high
        else:
            start = _number(low, kind)
            end = _number(high, kind) if dash else (kind.high if slash else start)
            if start is None or end is None:
                return f"{kind.name} {term!r} is no number"
            first, last = start, end
        stride = int(step) if re.fullmatch(r"[0-9]{1,9}", step) else 0
        if slash and not stride:
            return f"{kind.name} {term!r} has the step {step!r}"
        if not kind.low <= first <= last <= kind.high:
            return f"{kind.name} {term!r} is not within {kind.low} to {kind.high}"
        allowed |= set(range(first, last + 1, stride or 1))
    return allowed


def _number(text: str, kind: _Field) -> int | None:
    if text.lower() in kind.names:
        return kind.names.index(text.lower()) + kind.low
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _never(parts: list[str], values: list[set[int]]) -> str:
    """Say whether the day never comes, such as 30 February; a weekday as well is an `or`."""
    days, months, _ = values
    if parts[2][0] in "*?" and not any(min(days) <= _LONGEST_MONTHS[month - 1] for month in months):
        return "names a day that none of its months has"
    return ""
