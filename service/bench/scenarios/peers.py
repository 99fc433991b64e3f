"""The perceptron, one row of JSON: our server with everything on beside its peers without."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from service.bench import models, ours
from service.bench.check import exact, expected, right
from service.bench.effort import Effort, say
from service.bench.load import Load, Request, send
from service.bench.places import MLP, BenchError
from service.bench.process import Running
from service.bench.servers import PEERS, Peer, Variant

CONCURRENCY = (1, 16, 64)
OURS = "inference-server"
Key = tuple[str, str, int]  # server, variant, concurrency


@dataclass
class Found:
    """Rates of right answers a second, round by round, and what went wrong."""

    rates: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    latency: dict[Key, list[float]] = field(default_factory=lambda: defaultdict(list))
    failures: dict[Key, int] = field(default_factory=lambda: defaultdict(int))
    memory: dict[tuple[str, str], float] = field(default_factory=dict)
    absent: dict[tuple[str, str], str] = field(default_factory=dict)


def measure(effort: Effort) -> Found:
    """Start each server in turn, `rounds` times, and load it at every concurrency."""
    found = Found()
    for _ in effort.turns("peers"):
        for workers in (1, 2):
            _measure_ours(workers, effort, found)
        for peer in PEERS:
            chosen = (
                peer.variants if effort.every_variant else peer.variants[:: len(peer.variants) - 1]
            )
            for variant in chosen:
                _measure_peer(peer, variant, effort, found)
    return found


def _measure_ours(workers: int, effort: Effort, found: Found) -> None:
    setup, row = ours.everything(workers), models.rows(1)
    with ours.serve(setup) as server:
        request = exact(server, ours.mlp_json(setup, row), expected(MLP, row))
        _load(server, request, (OURS, Variant(workers).workers_name), effort, found)


def _measure_peer(peer: Peer, variant: Variant, effort: Effort, found: Found) -> None:
    row, name = models.rows(1), (peer.title, variant.name)
    if name in found.absent:
        return
    try:
        with peer.serve(variant) as server:
            request = peer.request(row)
            right(server, request, peer.read, expected(MLP, row))
            _load(server, request, name, effort, found)
    except (BenchError, OSError) as error:
        found.absent[name] = str(error)[-600:]
        say(f"{peer.title}, {variant.name}: {str(error).splitlines()[0]}")


def _load(
    server: Running, request: Request, name: tuple[str, str], effort: Effort, found: Found
) -> None:
    for connections in CONCURRENCY:
        report = send(server.address, [request], Load(connections, effort.seconds))
        key = (*name, connections)
        found.rates[key].append(report.rate())
        found.latency[key].append(report.latency("99"))
        found.failures[key] += report.failures
    found.memory[name] = server.memory()
    rates = (f"{found.rates[*name, at][-1]:,.0f}" for at in CONCURRENCY)
    say(f"{', '.join(name)}: {' / '.join(rates)}")
