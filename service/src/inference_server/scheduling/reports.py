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
    """Told when the lane's model runs, by the thread that runs it: what a crashed process did."""

    def begin(self) -> None:
        """A run begins in this thread."""

    def end(self) -> None:
        """It has ended, well or not."""

    def release(self) -> None:
        """The lane has ended."""


class RunMarkers(Protocol):
    """Gives each lane its marker."""

    def running(self, name: str, version: int | str) -> RunMarker:
        """The marker of this model version."""
