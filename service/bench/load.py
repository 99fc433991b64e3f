"""The load generator `http-load`: what it is asked, and what it reports."""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from service.bench.places import GENERATOR, BenchError
from service.bench.process import on_cores


@dataclass(frozen=True)
class Request:
    """One HTTP request; `answers` are the bodies that are right, none given: any is."""

    path: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    answers: tuple[bytes, ...] = ()
    method: str = "POST"

    def raw(self, host: str) -> bytes:
        """Return the bytes that go to the socket."""
        fields = {
            "Host": host,
            "Content-Type": "application/json",
            **self.headers,
            "Content-Length": str(len(self.body)),
        }
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{k}: {v}" for k, v in fields.items())]
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + self.body


@dataclass(frozen=True)
class Load:
    """How the requests are sent: closed loop, or open loop where there is a rate."""

    connections: int
    seconds: float = 2.0
    warmup: float = 0.4
    count: int = 0
    rate: float = 0.0
    poisson: bool = True
    patience: float = 10.0
    cores: Collection[int] = ()  # of the generator; none: any


@dataclass(frozen=True)
class Statistics:
    """Answers of one status: latencies in seconds, counted from when a request was due."""

    count: int
    in_time: int
    mean: float
    max: float
    at: Mapping[str, float]


@dataclass(frozen=True)
class Report:
    """One run of the generator."""

    seconds: float
    started: int
    lost: int
    wrong: int
    refused_connections: int
    cpu: float
    statuses: Mapping[int, Statistics]

    def rate(self, status: int = 200) -> float:
        """Answers of a status per second."""
        found = self.statuses.get(status)
        return found.in_time / self.seconds if found else 0.0

    def latency(self, percentile: str, status: int = 200) -> float:
        """Seconds at a percentile; NaN where there was no such answer."""
        found = self.statuses.get(status)
        return found.at.get(percentile, float("nan")) if found else float("nan")

    @property
    def failures(self) -> int:
        """Requests that were lost, answered wrongly, or with another status than 200."""
        others = sum(one.count for status, one in self.statuses.items() if status != 200)
        return self.lost + self.wrong + others


def plan(address: str, requests: Sequence[Request], load: Load) -> str:
    """Return the plan that the generator reads."""
    return json.dumps(
        {
            "address": address,
            "connections": load.connections,
            "warmup": 0 if load.count else load.warmup,
            "seconds": load.seconds,
            "count": load.count,
            "rate": load.rate,
            "poisson": load.poisson,
            "patience": load.patience,
            "seed": 1,
            "requests": [
                {"raw": _text(one.raw(address)), "answers": list(map(_text, one.answers))}
                for one in requests
            ],
        }
    )


def parse(text: str) -> Report:
    """Read the generator's report."""
    found = json.loads(text)
    statuses = {int(k): Statistics(**v) for k, v in found.pop("statuses").items()}
    return Report(**found, statuses=statuses)


def send(address: str, requests: Sequence[Request], load: Load) -> Report:
    """Run the generator to its end; raises BenchError if it cannot."""
    done = subprocess.run(
        [GENERATOR],
        input=plan(address, requests, load),
        capture_output=True,
        text=True,
        preexec_fn=on_cores(load.cores),
    )
    if done.returncode:
        raise BenchError(f"http-load: {done.stderr[-500:]}")
    return parse(done.stdout)


def start(address: str, requests: Sequence[Request], load: Load) -> subprocess.Popen[str]:
    """Run the generator beside other work; `finish` reads its report."""
    process = subprocess.Popen(
        [GENERATOR],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=on_cores(load.cores),
    )
    assert process.stdin  # noqa: S101
    process.stdin.write(plan(address, requests, load))
    process.stdin.close()
    return process


def finish(process: subprocess.Popen[str]) -> Report:
    """Wait for a generator that `start` returned."""
    assert process.stdout  # noqa: S101
    assert process.stderr  # noqa: S101
    text, said = process.stdout.read(), process.stderr.read()
    if process.wait():
        raise BenchError(f"http-load: {said[-500:]}")
    return parse(text)


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
