"""Models and lanes for the tests of scheduling: real sessions, and runs that a test holds up."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnxruntime as ort
from inference_server.errors import RequestError
from inference_server.models.failures import InferenceError, brief
from inference_server.models.signature import Tensor, TensorSpec, read_spec
from inference_server.scheduling.batch import Outcome
from inference_server.scheduling.lane import Lane
from inference_server.scheduling.plan import LanePlan

from .onnx_models import FLOAT, node, value, write

INLINE = {"inline_seconds": 1.0, "seconds": 0.0001}
THREADS: dict[str, Any] = {}


class Session:
    """A session of ONNX Runtime as a lane sees it; `sizes` are the rows of its runs."""

    name = "model"
    version = 1
    provider = "CPUExecutionProvider"
    max_batch_size = 8
    buckets = (1, 2, 4, 8)

    def __init__(self, path: Path) -> None:
        self.seconds = {1: 0.0001, 8: 0.0001}
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        options.log_severity_level = 4
        self._session = ort.InferenceSession(path, options, providers=[self.provider])
        self.inputs = {each.name: read_spec(each) for each in self._session.get_inputs()}
        self._names = [each.name for each in self._session.get_outputs()]
        self.sizes: list[int] = []

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.sizes.append(len(next(iter(feeds.values()))))
        try:
            return dict(zip(self._names, self._session.run(self._names, feeds), strict=True))
        except Exception as error:
            raise InferenceError(brief(error)) from error


class Gate:
    """A model that answers `x` plus 1 when the test lets it: each run waits for `open`."""

    name = "gate"
    version = 1
    provider = "CPUExecutionProvider"
    max_batch_size = 4
    buckets = (1, 2, 4)

    def __init__(self) -> None:
        self.seconds = {1: 0.0001, 4: 0.0001}
        self.inputs = {"x": TensorSpec("x", "FP32", np.float32, ("N", 1))}
        self.open = threading.Event()
        self.began = threading.Semaphore(0)
        self.runs: list[list[float]] = []
        self.error: Exception | None = None

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        self.runs.append(feeds["x"].ravel().tolist())
        self.began.release()
        assert self.open.wait(30)
        if self.error is not None:
            raise self.error
        return {"y": feeds["x"] + 1}

    async def begun(self, runs: int = 1) -> None:
        """Until so many further runs have begun."""
        for _ in range(runs):
            assert await asyncio.to_thread(self.began.acquire, timeout=30)


class Counts:
    """Metrics of a lane that can be read back."""

    def __init__(self) -> None:
        self.runs: list[tuple[int, int]] = []
        self.waits: list[float] = []
        self.observed: list[int] = []
        self.failures: list[str] = []
        self.hangs = 0
        self.rejections: list[str] = []
        self.depths: list[int] = []
        self.hits: list[bool] = []

    def ran(self, rows: int, seconds: float, batch_rows: int) -> None:
        assert seconds >= 0
        self.runs.append((rows, batch_rows))

    def waited(self, seconds: Sequence[float]) -> None:
        self.waits.extend(seconds)

    def observe(self, outputs: Mapping[str, Tensor]) -> None:
        self.observed.append(len(next(iter(outputs.values()))))

    def failed(self, kind: str = "runtime") -> None:
        self.failures.append(kind)

    def hung(self) -> None:
        self.hangs += 1

    def rejected(self, reason: str) -> None:
        self.rejections.append(reason)

    def depth(self, requests: int) -> None:
        self.depths.append(requests)

    def cached(self, hit: bool) -> None:
        self.hits.append(hit)


class Asked:
    """Submits to a lane and keeps every outcome, so that a second one is seen."""

    def __init__(self, lane: Lane) -> None:
        self.lane = lane
        self.outcomes: dict[int, list[Outcome]] = {}
        self.requests: dict[int, Any] = {}
        self.refusals: list[int] = []

    def submit(
        self, feeds: Mapping[str, Tensor] | float, rows: int = 1, **more: Any
    ) -> "asyncio.Future[Outcome]":
        number = len(self.outcomes)
        self.outcomes[number] = []
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        returned = False

        def done(outcome: Outcome) -> None:
            assert returned
            self.outcomes[number].append(outcome)
            if not future.done():
                future.set_result(outcome)

        if isinstance(feeds, (int, float)):
            feeds = {"x": np.full((rows, 1), feeds, dtype=np.float32)}
        try:
            self.requests[number] = self.lane.submit(feeds, rows, done, **more)
        except RequestError:
            del self.outcomes[number]
            raise
        returned = True
        return future


def soon(seconds: float) -> float:
    """A deadline."""
    return perf_counter() + seconds


def statuses(outcomes: Sequence[Outcome]) -> list[int]:
    """The status of each outcome: 200, or that of its error (500 for a failed inference)."""
    return [200 if each.error is None else getattr(each.error, "status", 500) for each in outcomes]


def mlp(path: Path, features: int = 30) -> Path:
    """`x` [N,features] to `y` [N,2] through two layers, and `z` [N,features], its negative."""
    random = np.random.default_rng(0)
    sizes = [(features, 64), (64, 64), (64, 2)]
    return write(
        path,
        [
            node("MatMul", "x w0", "a"),
            node("Relu", "a", "b"),
            node("MatMul", "b w1", "c"),
            node("Relu", "c", "d"),
            node("MatMul", "d w2", "y"),
            node("Neg", "x", "z"),
        ],
        [value("x", FLOAT, "N", features)],
        [value("y", FLOAT, "N", 2), value("z", FLOAT, "N", features)],
        {f"w{i}": random.normal(size=size).astype(np.float32) for i, size in enumerate(sizes)},
    )


def sums(path: Path) -> Path:
    """`x` [N,M] to `y` [N], its rows' sums: requests of different M fit into no common batch."""
    return write(
        path,
        [node("ReduceSum", "x axes", "y", keepdims=0)],
        [value("x", FLOAT, "N", "M")],
        [value("y", FLOAT, "N")],
        {"axes": np.array([1], dtype=np.int64)},
    )


def open_lane(
    model: Any,
    metrics: Counts | None = None,
    on_failure: Callable[[str, str], None] | None = None,
    **plan: Any,
) -> Asked:
    """A lane of batches of at most the model's size, as the plan says."""
    whole = LanePlan(**{"max_rows": model.max_batch_size, **plan})
    return Asked(Lane(model, whole, metrics or Counts(), on_failure=on_failure))
