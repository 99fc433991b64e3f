"""A model version of the repository, and what has become of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from inference_server.models.config import ModelConfig
from inference_server.models.model import Model, ModelFile
from inference_server.models.signature import Tensor


class Lane(Protocol):
    """What the catalog and the pipeline need of `scheduling.lane.Lane`."""

    @property
    def idle(self) -> bool:
        """Whether nothing waits or runs."""

    def require_room(self) -> None:
        """Raise RequestError (429) while the queue is full."""

    def submit(
        self,
        feeds: Mapping[str, Tensor],
        rows: int,
        done: Callable[..., None],
        *,
        deadline: float | None = None,
        priority: int = 0,
    ) -> object:
        """Queue one request; raises RequestError."""

    def run_now(self) -> None:
        """Run what waits for the event loop's next iteration."""

    def cancel(self, request: Any) -> None:
        """Give up a request whose client has gone."""

    async def close(self) -> None:
        """Finish what is queued, refuse new requests."""


OpenLane = Callable[[Model, ModelConfig], Lane]


class State(StrEnum):
    """The protocol's words for a version, in lower case."""

    UNLOADED = "unloaded"
    LOADING = "loading"
    READY = "ready"
    UNLOADING = "unloading"
    UNAVAILABLE = "unavailable"


@dataclass(slots=True, eq=False)
class Served:
    """A model that answers, and its lane; `used` is when it was last asked for (monotonic)."""

    model: Model
    lane: Lane
    used: float = field(default_factory=time.monotonic)


class Loading(Exception):  # noqa: N818 - no error: the request waits
    """The version asked for is being loaded; the future gives it, or raises RequestError."""

    def __init__(self, future: asyncio.Future[Served]) -> None:
        super().__init__("loading")
        self.future = future


@dataclass(eq=False)
class Entry:
    """One version. `on_demand`: a request may load it. `required`: no traffic before it is ready.
    `eager`: it is loaded as soon as it is found.

    `memory` is the most that a load of this file took, in bytes: a later one may find room that
    an earlier one left. `retry_at` is a monotonic time.
    """

    file: ModelFile
    state: State = State.UNLOADED
    reason: str | None = None
    served: Served | None = None
    eager: bool = False
    on_demand: bool = False
    required: bool = False
    memory: int = 0
    failures: int = 0
    retry_at: float = 0.0
    ready_at: float = 0.0
    pending: asyncio.Future[Served] | None = None

    @property
    def model(self) -> Model | None:
        """The model in memory, if it may answer."""
        return self.served.model if self.served is not None else None

    @property
    def label(self) -> str:
        """`name/version`, for people."""
        return f"{self.file.name}/{self.file.version}"

    @property
    def awaited(self) -> bool:
        """Whether a request may wait for this version to be loaded."""
        if not self.on_demand:
            return False
        return self.state is not State.UNAVAILABLE or time.monotonic() >= self.retry_at

    def is_member_of(self, other: Entry) -> bool:
        """Whether the other is an ensemble that runs this model."""
        ensemble = other.file.config.ensemble
        return ensemble is not None and any(step.model == self.file.name for step in ensemble.steps)
