"""The committed ratios, and what got worse since."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class Ratio:
    """A ratio of two figures of one run; `tolerance` is the part of it that noise may take."""

    value: float
    higher_is_better: bool = True
    tolerance: float = 0.2

    def worse_than(self, before: Ratio) -> bool:
        """Say whether it got worse than before by more than that tolerance."""
        if self.higher_is_better:
            return self.value < before.value * (1 - before.tolerance)
        return self.value > before.value * (1 + before.tolerance)


def regressions(before: Mapping[str, Ratio], now: Mapping[str, Ratio]) -> list[str]:
    """Name what got worse, and what is no longer measured."""
    found = []
    for name, ratio in before.items():
        new = now.get(name)
        if new is None or math.isnan(new.value):
            found.append(f"{name}: {ratio.value:.3g} before, not measured now")
        elif new.worse_than(ratio):
            found.append(
                f"{name}: {ratio.value:.3g} before, {new.value:.3g} now,"
                f" tolerance {ratio.tolerance:.0%}"
            )
    return found


def read(path: Path) -> dict[str, Ratio]:
    """Read the baseline; none yet is an empty one."""
    if not path.exists():
        return {}
    return {name: Ratio(**fields) for name, fields in json.loads(path.read_text()).items()}


def write(path: Path, ratios: Mapping[str, Ratio]) -> None:
    """Write what was measured as the baseline of later runs."""
    kept = {name: one for name, one in sorted(ratios.items()) if not math.isnan(one.value)}
    rounded = {
        name: asdict(one) | {"value": float(f"{one.value:.3g}")} for name, one in kept.items()
    }
    path.write_text(json.dumps(rounded, indent=2) + "\n")
