"""64 rows a request, binary: rows a second beside raw ONNX Runtime."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from service.bench import models, ours, raw
from service.bench.check import exact, expected
from service.bench.effort import Effort
from service.bench.load import Load, send
from service.bench.places import MLP

ROWS = 64
CONCURRENCY = (1, 4, 16)


@dataclass
class Found:
    """Rows a second; of raw ONNX Runtime by threads, of ours by workers and concurrency."""

    raw: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))
    served: dict[tuple[int, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: int = 0


def measure(effort: Effort) -> Found:
    """Run ONNX Runtime alone and our server in turn, on one core's worth and on two."""
    found, rows = Found(), models.rows(ROWS)
    for _ in effort.turns("rows"):
        for workers in (1, 2):
            rate = raw.measure(MLP, ROWS, workers, 1, effort.seconds)
            found.raw[workers].append(rate * ROWS)
            setup = ours.everything(workers)
            with ours.serve(setup) as server:
                request = ours.binary(setup, "mlp", models.INPUT, rows)
                request = exact(server, request, expected(MLP, rows))
                for connections in CONCURRENCY:
                    report = send(server.address, [request], Load(connections, effort.seconds))
                    found.served[workers, connections].append(report.rate() * ROWS)
                    found.failures += report.failures
    return found
