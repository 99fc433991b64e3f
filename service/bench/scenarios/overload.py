"""More than a server can answer: what it still answers, how fast it refuses, what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from math import nan
from subprocess import TimeoutExpired

from service.bench import models, ours
from service.bench.check import exact, expected
from service.bench.effort import Effort
from service.bench.figures import refusal_cost
from service.bench.load import Load, Report, Request, finish, send, start
from service.bench.places import MLP, RESNET
from service.bench.process import Running, separate_cores

CONNECTIONS = 1024
REFUSED = (429, 503, 504)
QUEUE = 32  # of the slow model: what it answers in about a second


@dataclass
class Found:
    """One list entry a round."""

    capacity: list[float] = field(default_factory=list)
    goodput: list[float] = field(default_factory=list)  # right answers per second
    refusals: list[float] = field(default_factory=list)  # per second
    refusal_p99: list[float] = field(default_factory=list)  # seconds
    health_p99: list[float] = field(default_factory=list)  # seconds
    growth: list[float] = field(default_factory=list)  # memory, last against first third
    refusal: list[float] = field(default_factory=list)  # cost as a fraction of a request's
    generator: list[float] = field(default_factory=list)  # of one core
    lost: int = 0
    unexpected: int = 0  # neither 200 nor a refusal


def images(effort: Effort) -> Found:
    """Send the convolutional model twice what it can answer."""
    setup = ours.everything().having("bounded queue", config=f"max_queue: {QUEUE}\n")
    image = models.images(1)
    found = Found()
    server_cores, cores = separate_cores()
    for _ in effort.turns("overload, images"):
        with ours.serve(setup, RESNET, server_cores) as server:
            request = ours.binary(setup, "resnet", models.IMAGE, image)
            request = exact(server, request, expected(RESNET, image))
            closed = send(server.address, [request], Load(8, effort.slow, cores=cores))
            found.capacity.append(closed.rate())
            load = Load(CONNECTIONS, effort.overload, rate=2 * closed.rate(), cores=cores)
            _overload(server, request, load, found)
    return found


def perceptron(effort: Effort) -> Found:
    """Send the perceptron half more than it can answer, and measure what a refusal costs."""
    setup, row = ours.everything(), models.rows(1)
    found = Found()
    server_cores, cores = separate_cores()
    for _ in effort.turns("overload, MLP"):
        found.refusal.append(_refusal(effort))
        with ours.serve(setup, MLP, server_cores) as server:
            request = exact(server, ours.mlp_json(setup, row), expected(MLP, row))
            closed = send(server.address, [request], Load(64, effort.seconds, cores=cores))
            found.capacity.append(closed.rate())
            load = Load(CONNECTIONS, effort.overload / 2, rate=1.5 * closed.rate(), cores=cores)
            _overload(server, request, load, found)
    return found


def _overload(server: Running, request: Request, load: Load, found: Found) -> None:
    load = replace(load, warmup=min(2.0, load.seconds / 4), patience=40)
    probe = Request("/v2/health/live", b"", method="GET")
    probing = replace(load, connections=4, rate=20, poisson=False)
    beside = start(server.address, [probe], probing)
    memory: list[float] = []
    report = _watched(server, [request], load, memory.append)
    health = finish(beside)
    found.goodput.append(report.rate())
    found.refusals.append(sum(report.rate(status) for status in REFUSED))
    found.refusal_p99.append(_slowest(report))
    found.health_p99.append(health.latency("99"))
    found.growth.append(growth(memory))
    found.generator.append(report.cpu / (load.seconds + load.warmup))
    found.lost += report.lost + report.wrong
    known = {200, *REFUSED}
    found.unexpected += sum(
        one.count for status, one in report.statuses.items() if status not in known
    )


def _slowest(report: Report) -> float:
    """Return seconds within which 99 % of the 429 came."""
    return report.latency("99", 429)


def _watched(
    server: Running, requests: list[Request], load: Load, note: Callable[[float], None]
) -> Report:
    generator = start(server.address, requests, load)
    while generator.poll() is None:
        note(server.memory())
        try:
            generator.wait(0.25)
        except TimeoutExpired:
            continue
    return finish(generator)


def growth(memory: list[float]) -> float:
    """Return by what part the largest of the last third exceeds that of the middle third."""
    third = len(memory) // 3
    if not third:
        return nan
    return max(memory[2 * third :]) / max(memory[third : 2 * third]) - 1


def _refusal(effort: Effort) -> float:
    """Return what a refusal costs, by processor time of the event loop's thread.

    A queue of one request refuses nearly all of 64 connections that ask at once.
    """
    setup, row = ours.everything(), models.rows(1)
    wanted = expected(MLP, row)
    with ours.serve(setup) as server:
        request = exact(server, ours.mlp_json(setup, row), wanted)
        cost, served, _ = _cost(server, request, effort)
        whole = cost / served if served else nan
    with ours.serve(setup.having("queue of one", config="max_queue: 1\n")) as server:
        request = exact(server, ours.mlp_json(setup, row), wanted)
        cpu, served, refused = _cost(server, request, effort)
    return refusal_cost(cpu, served, refused, whole)


def _cost(server: Running, request: Request, effort: Effort) -> tuple[float, int, int]:
    before = server.main_thread_cpu()
    report = send(server.address, [request], Load(64, effort.seconds, warmup=0))
    spent = server.main_thread_cpu() - before
    counts = {status: one.count for status, one in report.statuses.items()}
    return spent, counts.get(200, 0), counts.get(429, 0)
