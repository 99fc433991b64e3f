"""Checks of other tools that no rule implements as they do, and why."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import yaml

_FILE = Path(__file__).with_name("decisions.yaml")


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided about checks of other tools: their names, their subject, the reason."""

    names: tuple[str, ...]
    title: str
    text: str


@cache
def decisions() -> tuple[Decision, ...]:
    """Return every decision in the order of its title."""
    if not _FILE.is_file():
        return ()
    entries = yaml.load(_FILE.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader) or []
    found = [Decision(tuple(e["names"]), e["title"], " ".join(e["decision"].split()))
             for e in entries]  # fmt: skip
    return tuple(sorted(found, key=lambda decision: decision.title.lower()))


def decisions_on(name: str) -> tuple[Decision, ...]:
    """Return the decisions about a check, named `tool:name` or by the name alone."""
    wanted = name.lower()
    return tuple(
        decision
        for decision in decisions()
        if any(wanted in (n.lower(), n.lower().partition(":")[2]) for n in decision.names)
    )
