"""A catalog with real models, real metrics, and lanes that only do what a lane promises."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
from inference_server.errors import RequestError
from inference_server.models.catalog import Catalog, Control, Loading, Served
from inference_server.models.config import ModelConfig
from inference_server.models.hardware import Hardware
from inference_server.models.model import Model
from inference_server.observability.metrics import Metrics
from inference_server.scheduling.reports import RunMarkers

ROW = {"features": np.array([[1, 1, 1]], np.float32)}


class DirectLane:
    """Runs each request in a thread; closes when the last is answered, and refuses then."""

    def __init__(self, model: Model) -> None:
        self.model = model
        self.closed = False
        self._running: set[asyncio.Task[None]] = set()
        self.gate = asyncio.Event()
        self.gate.set()

    @property
    def idle(self) -> bool:
        return not self._running

    def submit(
        self,
        feeds: Mapping[str, Any],
        rows: int,
        done: Callable[..., None],
        *,
        deadline: float | None = None,
        priority: int = 0,
    ) -> None:
        if self.closed:
            raise RequestError(503, "closed")
        task = asyncio.get_running_loop().create_task(self._answer(feeds, done))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def _answer(self, feeds: Mapping[str, Any], done: Callable[..., None]) -> None:
        await self.gate.wait()
        done(await asyncio.to_thread(self.model.run, feeds))

    async def close(self) -> None:
        self.closed = True
        await asyncio.gather(*self._running)


class Opened:
    """Every lane that a catalog has opened."""

    def __init__(self) -> None:
        self.lanes: list[DirectLane] = []

    def __call__(self, model: Model, config: ModelConfig) -> DirectLane:
        self.lanes.append(DirectLane(model))
        return self.lanes[-1]


@asynccontextmanager
async def catalog_of(
    repository: Path,
    *,
    started: bool = True,
    opened: Opened | None = None,
    metrics: Metrics | None = None,
    hardware: Hardware | None = None,
    markers: RunMarkers | None = None,
    **control: Any,
) -> AsyncIterator[Catalog]:
    catalog = Catalog(
        repository,
        hardware or Hardware(),
        metrics or Metrics(),
        opened or Opened(),
        Control(**control),
        markers,
    )
    if started:
        await catalog.start()
    try:
        yield catalog
    finally:
        await catalog.stop()


async def find(
    catalog: Catalog, name: str | None = None, version: str | None = None, **headers: str
) -> Served:
    """As the pipeline does it: a version that is being loaded is waited for."""
    pairs = {key.replace("_", "-").encode(): text.encode() for key, text in headers.items()}
    try:
        return catalog.find(name, version, pairs)
    except Loading as loading:
        return await loading.future


async def ask(catalog: Catalog, name: str | None = None, version: str | None = None) -> Any:
    """One inference, found and submitted as the pipeline does it."""
    served = await find(catalog, name, version)
    answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
    served.lane.submit(ROW, 1, answer.set_result)
    return await answer


async def until(condition: Callable[[], bool], seconds: float = 15) -> None:
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is anything
            await asyncio.sleep(0.005)
