"""Figures of the oracles: printed when pytest ends, and left for the report of the scenarios."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Figure:
    """How many cases an oracle judged, in how many both sides agreed, and how long it took."""

    name: str
    cases: int
    agree: int
    seconds: float


class Figures:
    """What the oracles counted in one run."""

    def __init__(self) -> None:
        self.counted: list[Figure] = []
        self.remarks: list[str] = []

    def add(self, name: str, cases: int, agree: int, seconds: float) -> None:
        """Count one oracle."""
        self.counted.append(Figure(name, cases, agree, round(seconds, 1)))

    def say(self, remark: str) -> None:
        """Keep a remark for the summary."""
        self.remarks.append(remark)

    def lines(self) -> list[str]:
        """Return what the terminal shows."""
        return [
            *(f"{f.name}: {f.agree} of {f.cases} agree, {f.seconds} s" for f in self.counted),
            *self.remarks,
        ]

    def write(self, path: Path) -> None:
        """Write the figures beside those of oracles that ran before and not now."""
        now = {figure.name: asdict(figure) for figure in self.counted}
        path.parent.mkdir(parents=True, exist_ok=True)
        before = json.loads(path.read_text()) if path.is_file() else []
        kept = [figure for figure in before if figure["name"] not in now]
        path.write_text(json.dumps([*kept, *now.values()], indent=1) + "\n")
