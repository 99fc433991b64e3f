"""The convolutional model: v2 binary beside raw ONNX Runtime, JSON beside what parsing costs."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from service.bench import models, ours, raw
from service.bench.check import exact, expected
from service.bench.effort import Effort
from service.bench.load import Load, send
from service.bench.places import RESNET

CONCURRENCY = (1, 8)
# Two inferences side by side with a thread each, or one with two threads.
WAYS = {"2 x 1 thread": (2, 1), "1 x 2 threads": (1, 2)}


@dataclass
class Found:
    """Images a second; at concurrency 1 seconds that an image takes, on the clock and of cores."""

    raw: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    binary: dict[tuple[str, int], list[float]] = field(default_factory=lambda: defaultdict(list))
    latency: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    cost: dict[tuple[str, str], list[float]] = field(default_factory=lambda: defaultdict(list))
    floor: list[float] = field(default_factory=list)
    body: int = 0
    failures: int = 0


def measure(effort: Effort) -> Found:
    """Run ONNX Runtime alone and our server in turn."""
    found = Found()
    for _ in effort.turns("images"):
        for name, (threads, intra) in WAYS.items():
            found.raw[name].append(raw.measure(RESNET, 1, threads, intra, effort.slow))
            _serve(name, threads, intra, effort, found)
    return found


def _serve(name: str, threads: int, intra: int, effort: Effort, found: Found) -> None:
    setup = ours.everything().having(
        name, inference_threads=str(threads), intra_op_threads=str(intra)
    )
    image = models.images(1)
    wanted = expected(RESNET, image)
    with ours.serve(setup, RESNET) as server:
        request = exact(server, ours.binary(setup, "resnet", models.IMAGE, image), wanted)
        for connections in CONCURRENCY:
            report = send(server.address, [request], Load(connections, effort.slow))
            found.binary[name, connections].append(report.rate())
            found.failures += report.failures
        json = ours.as_json(setup, "resnet", models.IMAGE, image)
        for kind, one in (("binary", request), ("JSON", exact(server, json, wanted))):
            before = server.cpu()
            report = send(server.address, [one], Load(1, effort.slow, warmup=0))
            found.cost[kind, name].append((server.cpu() - before) / report.started)
            found.latency[kind, name].append(report.latency("50"))
            found.failures += report.failures
    found.floor.append(raw.parsing_floor(json.body))
    found.body = len(json.body)
