"""What each feature costs: the server with everything on beside the same without it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from service.bench import models, ours
from service.bench.check import exact, expected
from service.bench.effort import Effort, say
from service.bench.load import Load, send
from service.bench.ours import Setup
from service.bench.places import MLP, BenchError

CONNECTIONS = (1, 64)
BASE = "everything on"


@dataclass
class Found:
    """By feature and concurrency: rates per second, processor seconds per request."""

    rates: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    costs: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    absent: dict[str, str] = field(default_factory=dict)


def measure(effort: Effort) -> Found:
    """Measure in turn: everything on, then one setup for each feature."""
    found = Found()
    setups = {BASE: ours.everything()} | ours.features()
    for _ in effort.turns("features"):
        for name, setup in setups.items():
            if name not in found.absent:
                _measure(name, setup, effort, found)
    return found


def _measure(name: str, setup: Setup, effort: Effort, found: Found) -> None:
    if setup.missing:
        found.absent[name] = f"the server has no setting {', '.join(setup.missing)}"
        return
    row = models.rows(1)
    try:
        with ours.serve(setup) as server:
            request = exact(server, ours.mlp_json(setup, row), expected(MLP, row))
            for connections in CONNECTIONS:
                before = server.cpu()
                report = send(
                    server.address, [request], Load(connections, effort.seconds, warmup=0)
                )
                spent = server.cpu() - before
                found.rates[name, connections].append(report.rate())
                found.costs[name, connections].append(spent / max(report.started, 1))
                if report.failures:
                    found.absent[name] = f"{report.failures} requests failed"
    except BenchError as error:
        if name == BASE:
            raise
        found.absent[name] = str(error).splitlines()[0]
        say(f"{name}: {error}")
