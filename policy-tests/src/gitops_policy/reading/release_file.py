"""The file `release/model-release.env`: which model an environment serves."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

FILE = Path("release") / "model-release.env"

_REQUIRED = (
    "MODEL_NAME",
    "MODEL_VERSION",
    "MODEL_URI",
    "MODEL_SHA256",
    "MODEL_RUN_ID",
    "DATASET_VERSION",
    "TRAINING_GIT_SHA",
)
_SHIFT, _REASON = "EXPECTED_SHIFT", "EXPECTED_SHIFT_REASON"
_VERSION = re.compile(r"[1-9][0-9]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")

Fault = tuple[str, int, str, str]


def faults(content: str) -> Iterator[Fault]:
    """Yield what is wrong: key, line (0 where there is none), message and what to do."""
    settings: dict[str, tuple[str, int]] = {}
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        key, equals, value = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z0-9_]*", key):
            yield key.strip(), number, f"{line!r} is not KEY=value", "write KEY=value"
        elif key in settings:
            yield key, number, f"{key} stands twice", "keep one"
        else:
            settings[key] = (value, number)
    for key in _REQUIRED:
        if not settings.get(key, ("", 0))[0].strip():
            yield key, settings.get(key, ("", 0))[1], f"{key} is missing or empty", f"set {key}"
    yield from _values(settings)
    yield from _shift(settings)


def _values(settings: dict[str, tuple[str, int]]) -> Iterator[Fault]:
    for key, (_, line) in settings.items():
        if key not in (*_REQUIRED, _SHIFT, _REASON):
            yield key, line, f"{key} is no setting of a release", "remove it"
    version, line = settings.get("MODEL_VERSION", ("", 0))
    if version and not _VERSION.fullmatch(version):
        message = f"MODEL_VERSION is {version!r}: not an integer; aliases and stages move"
        yield "MODEL_VERSION", line, message, "name the registered version, such as 12"
    digest, line = settings.get("MODEL_SHA256", ("", 0))
    if digest and not _SHA256.fullmatch(digest):
        message = f"MODEL_SHA256 has {len(digest)} characters, not 64 lower-case hex digits"
        yield "MODEL_SHA256", line, message, "copy the sha256 that training printed"
    uri, line = settings.get("MODEL_URI", ("", 0))
    if uri.startswith("models:/") and not re.fullmatch(r"models:/[^/@]+/[1-9][0-9]*", uri):
        message = f"MODEL_URI is {uri!r}: it does not end in an integer version"
        yield "MODEL_URI", line, message, "write models:/<name>/<version>"
    elif uri.startswith("models:/") and version and uri.rpartition("/")[2] != version:
        message = f"MODEL_URI names version {uri.rpartition('/')[2]}, MODEL_VERSION {version}"
        yield "MODEL_URI", line, message, "make both the same version"


def _shift(settings: dict[str, tuple[str, int]]) -> Iterator[Fault]:
    shift, line = settings.get(_SHIFT, ("", 0))
    reason, reason_line = settings.get(_REASON, ("", 0))
    if _SHIFT in settings and shift != "true":
        yield _SHIFT, line, f"{_SHIFT} is {shift!r}", "write true, or remove both lines"
    if (_SHIFT in settings) != bool(reason.strip()):
        message = f"{_SHIFT} and {_REASON} come together or not at all"
        yield _SHIFT, line or reason_line, message, "set both, or remove both"
