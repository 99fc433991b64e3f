"""Regular expressions out of manifests: matched as RE2 would, and never for ever."""

from __future__ import annotations

import re
from functools import lru_cache

# Repeated groups make Python's matcher try every way to split a text.
_REPEATED_GROUP = re.compile(r"\)[*+{]")
_LONGEST, _LONGEST_REPEATED = 200, 12


def may_run_away(pattern: str) -> bool:
    """Say whether a search with the expression may take for ever."""
    return _REPEATED_GROUP.search(pattern) is not None


@lru_cache(maxsize=4096)
def matches_whole(pattern: str, value: str) -> bool | None:
    """Say whether an anchored expression accepts a value; None where that is not known."""
    if len(pattern) + len(value) > _LONGEST:
        return None
    if len(value) > _LONGEST_REPEATED and may_run_away(pattern):
        return None
    try:
        return re.fullmatch(pattern, value) is not None
    except (re.error, OverflowError, RecursionError):
        return None
