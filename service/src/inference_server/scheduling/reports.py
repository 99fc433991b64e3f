"""What a lane tells the rest of the server."""

from collections.abc import Sequence
from typing import Protocol

from inference_server.scheduling.batch import Outputs


class LaneMetrics(Protocol):
    """What a lane reports, in the event loop; only `observe` is called by the thread of a run."""

    def ran(self, rows: int, seconds: float, batch_rows: int) -> None:
        """One run answered so many rows; `batch_rows` counts padding too."""

    def waited(self, seconds: Sequence[float]) -> None:
        """How long each request of a run had waited."""

    def observe(self, outputs: Outputs) -> None:
        """All outputs of one run, without padding."""

    def failed(self, kind: str = "runtime") -> None:
        """A request failed: `runtime`, `memory` or `hang`."""

    def hung(self) -> None:
        """A run has not come back in time."""

    def rejected(self, reason: str) -> None:
        """A request was not run: queue_full, deadline, draining or not_ready."""

    def depth(self, requests: int) -> None:
        """So many requests wait."""

    def cached(self, hit: bool) -> None:
        """The response cache was asked."""


class RunMarker(Protocol):
    """Told which model runs, in the thread that runs it: what a crashed process was doing."""

    def begin(self, slot: int) -> None:
        """A run of the lane with this number begins."""

    def end(self, slot: int) -> None:
        """It has ended, well or not."""
