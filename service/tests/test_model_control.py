"""Models come, change and go in a running server, and no request notices."""

import shutil
import threading
from pathlib import Path

import httpx
import numpy as np
import pytest

from .conftest import Server, Start, wait_until
from .onnx_models import FLOAT, classifier, node, value, write

ROWS = {"instances": [[1, 1, 1]]}


def put(repository: Path, name: str, version: int, scale: float = 1) -> None:
    path = repository / name / str(version) / "model.onnx"
    draft = classifier(repository / ".draft" / "model.onnx", scale=scale)
    path.parent.mkdir(parents=True, exist_ok=True)
    draft.replace(path)


class Clients:
    """Threads that ask until they are told to stop, and note every answer."""

    def __init__(self, server: Server, path: str, count: int = 4) -> None:
        self.scores: set[float] = set()
        self.failures: list[str] = []
        self.answered = 0
        self._end = threading.Event()
        self._url = f"{server.client.base_url}".rstrip("/") + path
        self._threads = [threading.Thread(target=self._ask) for _ in range(count)]

    def _ask(self) -> None:
        with httpx.Client(timeout=20) as client:
            while not self._end.is_set():
                try:
                    answer = client.post(self._url, json=ROWS)
                except httpx.TransportError as error:
                    self.failures.append(repr(error))
                    continue
                self.answered += 1
                if answer.status_code == 200:
                    self.scores.add(round(answer.json()["probabilities"][0][1], 4))
                else:
                    self.failures.append(answer.text)

    def __enter__(self) -> "Clients":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()


def test_a_polled_model_is_reloaded_under_load_without_a_lost_request(
    tmp_path: Path, start: Start
) -> None:
    put(tmp_path, "m", 1)
    server = start(tmp_path, "--model-control=poll", "--poll-seconds=0.1")
    with Clients(server, "/predict?model=m") as clients:
        for scale in (0.2, 0.3, 0.4):
            before = len(clients.scores)
            put(tmp_path, "m", 1, scale)
            wait_until(lambda before=before: len(clients.scores) > before)
        put(tmp_path, "m", 2, 0.5)
        wait_until(lambda: server.post("/predict?model=m", ROWS).json()["model_version"] == "2")
        shutil.rmtree(tmp_path / "m" / "1")
        wait_until(lambda: server.status("/v2/models/m/versions/1/ready") == 404)
    assert not clients.failures
    assert clients.answered > 50


def test_explicit_control_loads_reloads_and_unloads_under_load(
    tmp_path: Path, start: Start
) -> None:
    put(tmp_path, "m", 1)
    put(tmp_path, "other", 1)
    server = start(tmp_path, "--model-control=explicit", "--preload=m")
    assert server.post("/predict?model=other", ROWS).status_code == 503
    with Clients(server, "/predict?model=m") as clients:
        for scale in (0.2, 0.3, 0.4):
            assert server.post("/v2/repository/models/other/load", {}).status_code == 200
            assert server.post("/predict?model=other", ROWS).status_code == 200
            put(tmp_path, "m", 1, scale)
            assert server.post("/v2/repository/models/m/load", {}).status_code == 200
            assert server.post("/v2/repository/models/other/unload", {}).status_code == 200
            assert server.post("/predict?model=other", ROWS).status_code == 503
    assert not clients.failures
    assert len(clients.scores) >= 3
    assert server.status("/v2/health/ready") == 200


def memory(server: Server, name: str) -> float:
    return server.metric(f'model_memory_bytes{{model_id="{name}",model_version="1"}}') or 0


def test_models_take_turns_within_the_memory_budget(tmp_path: Path, start: Start) -> None:
    weights = np.ones((3, 1_000_000), np.float32)
    for name in "abcdef":
        write(
            tmp_path / name / "1" / "model.onnx",
            [node("MatMul", "x w", "z"), node("ReduceMean", "z axes", "y", keepdims=0)],
            [value("x", FLOAT, "N", 3)],
            [value("y", FLOAT, "N")],
            {"w": weights, "axes": np.array([1])},
        )
        (tmp_path / name / "config.yaml").write_text("max_batch_size: 1")
    budget = 100_000_000  # each takes about 50 MB: weights, their packed copy, one row
    server = start(tmp_path, f"--model-memory-bytes={budget}")
    for name in "abcdefa":
        wait_until(lambda name=name: server.post(f"/predict?model={name}", ROWS).status_code == 200)
        assert sum(memory(server, each) for each in "abcdef") <= budget
    evictions = [server.metric(f'model_evictions_total{{model_id="{name}"}}') for name in "abcdef"]
    assert sum(each or 0 for each in evictions) > 0


def test_a_route_splits_callers_by_a_header(tmp_path: Path, start: Start) -> None:
    put(tmp_path, "m", 1)
    put(tmp_path, "m", 2)
    (tmp_path / "m" / "config.yaml").write_text(
        "route: {header: X-User, targets: [{version: 1, percent: 50}, {version: 2, percent: 50}]}"
    )
    server = start(tmp_path)

    def version(user: str) -> str:
        answer = server.post("/predict?model=m", ROWS, headers={"x-user": user})
        return str(answer.json()["model_version"])

    users = [f"user-{number}" for number in range(40)]
    first = [version(user) for user in users]
    assert set(first) == {"1", "2"}
    assert first == [version(user) for user in users]
    assert server.post("/predict?model=m&version=2", ROWS).json()["model_version"] == "2"


@pytest.mark.parametrize("path", ["/predict?model=both", "/v2/models/both/ready"])
def test_an_ensemble_is_asked_as_any_model(tmp_path: Path, start: Start, path: str) -> None:
    put(tmp_path, "first", 1)
    (tmp_path / "both").mkdir()
    (tmp_path / "both" / "config.yaml").write_text(
        "ensemble: {steps: [{model: first, inputs: {features: x}, outputs: {label: kind}}]}"
    )
    server = start(tmp_path)
    if path.startswith("/predict"):
        assert server.post(path, ROWS).json()["predictions"] == [1]
    else:
        assert server.status(path) == 200
