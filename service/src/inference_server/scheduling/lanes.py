"""All lanes of one process, and the watch over what runs in them."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import TYPE_CHECKING

from inference_server.scheduling.lane import Lane, OnFailure
from inference_server.scheduling.plan import plan_lane
from inference_server.scheduling.reports import RunMarkers

if TYPE_CHECKING:
    from inference_server.models.config import ModelConfig
    from inference_server.models.model import Model
    from inference_server.observability.metrics import Metrics
    from inference_server.settings import Settings

_WATCH_SECONDS = 1.0


class Scheduler:
    """Opens lanes and watches them; event loop only."""

    def __init__(
        self, settings: Settings, metrics: Metrics, markers: RunMarkers | None = None
    ) -> None:
        self._settings = settings
        self._metrics = metrics
        self._markers = markers
        self._lanes: list[Lane] = []
        self._watch: asyncio.TimerHandle | None = None

    def open(self, model: Model, config: ModelConfig, on_failure: OnFailure | None = None) -> Lane:
        """A lane for a warm model; `on_failure` is told when the lane ends itself, and why."""
        markers = self._markers
        lane = Lane(
            model,
            plan_lane(model, config, self._settings),
            self._metrics.monitor(model.name, model.version, model.contract),
            on_failure=on_failure,
            marker=markers.running(model.name, model.version) if markers else None,
        )
        self._lanes.append(lane)
        if self._watch is None:
            self._look()
        return lane

    def _look(self) -> None:
        seconds = min(_WATCH_SECONDS, self._settings.hang_seconds / 4)
        self._watch = asyncio.get_running_loop().call_later(seconds, self._look)
        now = perf_counter()
        for lane in self._lanes:
            if lane.ended:
                lane.release_marker()
        self._lanes = [lane for lane in self._lanes if not lane.ended]
        for lane in self._lanes:
            lane.check(now)

    def close(self) -> None:
        """End what is still open; `await lane.close()` first where requests shall finish."""
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        for lane in self._lanes:
            lane.abandon()
        self._lanes.clear()
