"""docs/benchmarks.md: the figures of one run, with what made them."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path

Row = Sequence[object]


def table(head: Row, rows: Iterable[Row]) -> str:
    """Return a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def machine() -> str:
    """Describe the machine in general words."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{cores} cores of {_model()}, {memory:.0f} GiB, {system}"


def _model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "an unknown processor"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else "an unknown processor"


def page(sections: dict[str, str], versions: str, load: float) -> str:
    """Return the page."""
    parts = [
        "# Benchmarks",
        "Written by `make bench`, which fails when a limit is broken; nothing is typed by hand.",
        f"{datetime.now(UTC):%Y-%m-%d}; {machine()}; load {load:.1f} at the start; {versions}.",
    ]
    for title, content in sections.items():
        parts += [f"## {title}", content]
    return "\n\n".join(parts) + "\n"


def others(file: Path) -> str:
    """Return what other benchmarks wrote on the same page, below their marks."""
    _, mark, rest = file.read_text().partition("\n<!-- written by ")
    return mark + rest
