"""Running a command and what it cost: wall clock, processor time, memory of all its processes."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

Command = Sequence[str | Path]
CORES = 2
_SAMPLE_SECONDS = 0.2


class BenchError(Exception):
    """A program that did not do what it was run for."""


@dataclass(frozen=True)
class Cost:
    """One run: seconds on the clock and of processor time, and MiB at the peak."""

    wall: float
    cpu: float
    memory: float


def on_two_cores() -> None:
    """Keep this program and what it starts on as many cores as the limits speak of."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])


def run(command: Command, cwd: Path, expected: Sequence[int] = (0, 1)) -> Cost:
    """Run a command once and return what it cost; its output is thrown away.

    Raises BenchError for an exit status that is not expected.
    """
    started = time.monotonic()
    with subprocess.Popen(
        list(map(str, command)), cwd=cwd, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        peak = _Peak(process.pid)
        said = process.stderr.read() if process.stderr else b""
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in expected:
        raise BenchError(f"{command[0]}: exit status {process.returncode}\n{said.decode()[-500:]}")
    memory = max(usage.ru_maxrss / 1024, peak.stop())
    return Cost(wall, usage.ru_utime + usage.ru_stime, memory)


def side_by_side(commands: Sequence[Command], runs: int, cwd: Path) -> list[list[Cost]]:
    """Run each command once uncounted, then all in turn, `runs` times: a busy moment hits all."""
    for command in commands:
        run(command, cwd)
    turns = [[run(command, cwd) for command in commands] for _ in range(runs)]
    return [list(costs) for costs in zip(*turns, strict=True)]


def middle(costs: Sequence[Cost], of: Callable[[Cost], float]) -> float:
    """Return the median of one figure."""
    return median(map(of, costs))


class _Peak(threading.Thread):
    """Samples the memory of a process and its children, shared pages counted once (PSS)."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.process, self.peak, self.over = process, 0.0, threading.Event()
        if sys.platform == "linux":
            self.start()

    def run(self) -> None:
        while not self.over.wait(_SAMPLE_SECONDS):
            self.peak = max(self.peak, sum(map(_proportional, _family(self.process))) / 1024)

    def stop(self) -> float:
        self.over.set()
        if self.is_alive():
            self.join()
        return self.peak


def _family(process: int) -> Iterator[int]:
    yield process
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return
    for child in children:
        yield from _family(int(child))


def _proportional(process: int) -> int:
    try:
        lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
