"""The types of YAML scalars as Kubernetes' own readers know them: no dates, no base-60 numbers."""

from __future__ import annotations

import re
from functools import lru_cache

Scalar = str | int | float | bool | None

TAG = "tag:yaml.org,2002:"
_TYPES = tuple(
    (name, re.compile(pattern))
    for name, pattern in (
        ("bool", r"y|Y|yes|Yes|YES|n|N|no|No|NO|true|True|TRUE|false|False|FALSE"
                 r"|on|On|ON|off|Off|OFF"),
        ("int", r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)"),
        ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
                  r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)"),
        ("null", r"~|null|Null|NULL|"),
    )
)  # fmt: skip


@lru_cache(maxsize=2**16)
def plain(raw: str) -> Scalar:
    """Return the value of a scalar without quotes and tag."""
    kind = next((name for name, pattern in _TYPES if pattern.fullmatch(raw)), "str")
    return typed(raw, kind)


def typed(raw: str, kind: str) -> Scalar:
    """Return the value of a scalar whose type is known; text that does not fit stays text."""
    try:
        if kind == "int":
            return _integer(raw)
        if kind == "float":
            return float(raw.lower().replace("_", "").replace(".inf", "inf").replace(".nan", "nan"))
    except ValueError:
        return raw
    if kind == "bool":
        return raw.lower() in {"y", "yes", "true", "on"}
    return None if kind == "null" else raw


def _integer(raw: str) -> int:
    digits = raw.replace("_", "").lstrip("+")
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    if len(digits) > 1 and digits[0] == "0" and digits[1].isdigit():
        return sign * int(digits, 8)
    return sign * int(digits, 0)
