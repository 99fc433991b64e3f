"""Open loop below capacity: how far the slowest answers are from the middle."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from service.bench import models, ours
from service.bench.check import exact, expected
from service.bench.effort import Effort
from service.bench.load import Load, Request, send
from service.bench.ours import Setup
from service.bench.places import MLP, RESNET
from service.bench.process import separate_cores

SHARE = 0.8
PERCENTILES = ("1", "5", "10", "25", "50", "75", "90", "95", "99", "99.9")


@dataclass(frozen=True)
class Subject:
    """A model with the load that finds out its capacity."""

    name: str
    model: Path
    connections: int
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
        Subject("MLP, JSON", MLP, 64, ours.everything()),
        Subject("convolutional model, binary", RESNET, 8, ours.everything()),
    )


@dataclass
class Found:
    """By subject and arrival: capacity per second, part of it answered, seconds at percentiles."""

    capacity: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    answered: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    latency: dict[tuple[str, str], list[dict[str, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    failures: int = 0


def measure(effort: Effort) -> Found:
    """Find the capacity, then send 80 % of it: at random moments, and evenly spaced."""
    found = Found()
    server_cores, cores = separate_cores()
    for _ in effort.turns("open loop"):
        for subject in subjects():
            seconds = effort.seconds if subject.model == MLP else effort.slow
            with ours.serve(subject.setup, subject.model, server_cores) as server:
                request = exact(server, subject.request(), subject.wanted())
                load = Load(subject.connections, seconds, cores=cores)
                closed = send(server.address, [request], load)
                found.capacity[subject.name].append(closed.rate())
                for arrival in ("random", "even"):
                    rate, random = SHARE * closed.rate(), arrival == "random"
                    load = Load(256, 2 * seconds, rate=rate, poisson=random, cores=cores)
                    report = send(server.address, [request], load)
                    at = {name: report.latency(name) for name in PERCENTILES}
                    found.latency[subject.name, arrival].append(at)
                    found.answered[subject.name, arrival].append(report.rate() / rate)
                    found.failures += report.failures
    return found
