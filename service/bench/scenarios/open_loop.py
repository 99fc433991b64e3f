"""Open loop below capacity: how far the slowest answers are from the middle."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from service.bench import models, ours
from service.bench.check import exact, expected
from service.bench.effort import Effort
from service.bench.load import Load, Request, send
from service.bench.ours import Setup
from service.bench.places import MLP, RESNET
from service.bench.process import Running, separate_cores

SHARE = 0.8
STEADY = 0.1  # change of the capacity over a window that is none
ATTEMPTS = 4
CONNECTIONS = 256
MEMORY = 1 << 21  # numbers: more than the caches of a core hold
WINDOW = 0.4  # seconds
PERCENTILES = ("1", "5", "10", "25", "50", "75", "90", "95", "99", "99.9")


@dataclass(frozen=True)
class Subject:
    """A model with the load that finds out its capacity."""

    name: str
    model: Path
    connections: int
    windows: int  # in a round
    setup: Setup

    def request(self) -> Request:
        """Ask for one row as JSON, or for one image as binary."""
        if self.model == MLP:
            return ours.mlp_json(self.setup, models.rows(1))
        return ours.binary(self.setup, "resnet", models.IMAGE, models.images(1))

    def wanted(self) -> np.ndarray:
        """Return the right answer."""
        return expected(self.model, models.rows(1) if self.model == MLP else models.images(1))


def subjects() -> tuple[Subject, Subject]:
    """Return the perceptron and the convolutional model, one worker each."""
    return (
        Subject("MLP, JSON", MLP, CONNECTIONS, 3, ours.everything()),
        Subject("convolutional model, binary", RESNET, 8, 1, ours.everything()),
    )


@dataclass
class Found:
    """By subject and arrival: capacity per second, part of it answered, seconds at percentiles.

    After `unsteady` windows the machine was not as fast as before them: they were measured again,
    until the last attempt, which counts. `slowest` is the speed of the slowest of some windows of
    a loop without a server, of the fastest's.
    """

    capacity: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    latency: dict[tuple[str, str], list[dict[str, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    slowest: list[float] = field(default_factory=list)
    unsteady: int = 0
    failures: int = 0


def measure(effort: Effort) -> Found:
    """Find the capacity, then send 80 % of it: at random moments, and evenly spaced."""
    found = Found()
    cores, others = separate_cores()
    for _ in effort.turns("open loop"):
        found.slowest.append(_slowest(cores))
        for subject in subjects():
            with ours.serve(subject.setup, subject.model, cores) as server:
                request = exact(server, subject.request(), subject.wanted())
                seconds = effort.seconds if subject.model == MLP else effort.slow
                capacity = Load(subject.connections, seconds, cores=others)
                for arrival in ("random", "even"):
                    load = Load(CONNECTIONS, 2 * seconds, poisson=arrival == "random", cores=others)
                    for _ in range(subject.windows):
                        _window(server, request, (capacity, load), (subject.name, arrival), found)
    return found


def _window(
    server: Running,
    request: Request,
    loads: tuple[Load, Load],
    where: tuple[str, str],
    found: Found,
) -> None:
    """Measure between two looks at the capacity, again if these differ by more than a tenth."""
    capacity, load = loads
    before = send(server.address, [request], capacity).rate()
    for attempt in range(ATTEMPTS):
        rate = SHARE * before
        report = send(server.address, [request], replace(load, rate=rate))
        after = send(server.address, [request], capacity).rate()
        steady = abs(after / before - 1) <= STEADY
        if steady or attempt == ATTEMPTS - 1:
            found.capacity[where[0]].append(before)
            found.latency[where].append({name: report.latency(name) for name in PERCENTILES})
            found.answered[where].append(report.rate() / rate)
        found.unsteady += not steady
        found.failures += report.failures
        if steady:
            return
        before = after


def _slowest(cores: set[int], windows: int = 10) -> float:
    """Return the speed of the slowest window of a loop that only reads memory, of the fastest's.

    What the neighbours of a virtual machine do to its caches is no stolen time.
    """
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores or allowed)
    table = np.random.default_rng(1).permutation(MEMORY)
    try:
        counts = []
        for _ in range(windows):
            end, count = time.perf_counter() + WINDOW, 0
            while time.perf_counter() < end:
                table.take(table[count % 64 :: 64])
                count += 1
            counts.append(count)
    finally:
        os.sched_setaffinity(0, allowed)
    return min(counts) / max(counts)
