"""Versions that are not loaded because their run once killed a worker process."""

import os
from pathlib import Path

VARIABLE = "INFERENCE_QUARANTINE_FILE"


def quarantined(name: str, version: int) -> str | None:
    """Why the supervisor forbids this version, if it does: lines are `name/version reason`."""
    file = os.environ.get(VARIABLE)
    if not file:
        return None
    try:
        lines = Path(file).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        label, _, reason = line.partition(" ")
        if label == f"{name}/{version}":
            return reason.strip() or "it ended a server process"
    return None
