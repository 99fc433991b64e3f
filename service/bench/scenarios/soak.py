"""A million requests with reloads of the model in between: none lost, none wrong, memory flat."""

from __future__ import annotations

import shutil
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from service.bench import bodies, models, ours
from service.bench.check import expected, right
from service.bench.effort import Effort, say
from service.bench.load import Load, Request, send
from service.bench.places import BUILD, MLP
from service.bench.process import Running

CHUNKS, DISTINCT, CONNECTIONS = 20, 16, 64
RELOAD_SECONDS = 1.0
SECOND = BUILD / "soak" / "mlp" / "2" / "model.onnx"


@dataclass
class Found:
    """Counts of the whole run, and MiB after each of its parts."""

    requests: int = 0
    lost: int = 0
    wrong: int = 0
    others: dict[int, int] = field(default_factory=dict)  # by status
    reloads: int = 0
    refused_reloads: list[str] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    seconds: float = 0

    @property
    def growth(self) -> float:
        """By what part memory grew from the end of the first tenth to the end."""
        settled = self.memory[: max(1, len(self.memory) // 10)]
        return self.memory[-1] / max(settled) - 1


def measure(effort: Effort, workers: int = 1) -> Found:
    """Ask with rows whose answers are known for both versions, which take turns."""
    control = {"model_control": "explicit", "preload": "mlp"}
    setup = ours.everything(workers).having("models by request", **control)
    models.mlp(SECOND, seed=9)
    found = Found()
    began = time.monotonic()
    with ours.serve(setup) as server:
        requests = _requests(server, setup)
        for part in range(CHUNKS):
            if part % 5 == 0:
                say(f"soak: {part / CHUNKS:.0%} of {effort.soak:,} requests")
            with _reloading(server, setup, found):
                load = Load(CONNECTIONS, count=effort.soak // CHUNKS, patience=30)
                report = send(server.address, requests, load)
            found.requests += report.started
            found.lost += report.lost
            found.wrong += report.wrong
            for status, one in report.statuses.items():
                if status != 200:
                    found.others[status] = found.others.get(status, 0) + one.count
            found.memory.append(server.memory())
    found.seconds = time.monotonic() - began
    return found


def _requests(server: Running, setup: ours.Setup) -> list[Request]:
    """Return requests with the exact answers of version 1 and of version 2."""
    made = []
    for row in models.rows(DISTINCT):
        tensor = row.reshape(1, -1)
        request = ours.mlp_json(setup, tensor)
        made.append((request, tensor, _answer(server, request, MLP, tensor)))
    _add()
    _ask_to_load(server, setup)
    return [
        replace(one, answers=(first, _answer(server, one, SECOND, tensor)))
        for one, tensor, first in made
    ]


def _answer(server: Running, request: Request, model: Path, tensor: np.ndarray) -> bytes:
    return right(server, request, bodies.read_v2, expected(model, tensor))


def _add() -> None:
    made = ours.repository() / "mlp" / "2"
    made.mkdir(exist_ok=True)
    partial = made / "model.onnx.part"
    shutil.copy(SECOND, partial)
    partial.rename(made / "model.onnx")


def _remove() -> None:
    shutil.rmtree(ours.repository() / "mlp" / "2", ignore_errors=True)


@contextmanager
def _reloading(server: Running, setup: ours.Setup, found: Found) -> Iterator[None]:
    over = threading.Event()

    def reload() -> None:
        there = True
        while not over.is_set():
            _remove() if there else _add()
            there = not there
            try:
                _ask_to_load(server, setup)
                found.reloads += 1
            except OSError as error:
                found.refused_reloads.append(str(error))
            over.wait(RELOAD_SECONDS)

    thread = threading.Thread(target=reload)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _add()


def _ask_to_load(server: Running, setup: ours.Setup) -> None:
    url = f"http://{server.address}/v2/repository/models/mlp/load"
    headers = {**setup.headers, "Content-Type": "application/json"}
    with urllib.request.urlopen(urllib.request.Request(url, b"{}", headers), timeout=30):
        pass
