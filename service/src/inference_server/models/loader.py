"""Builds a model in a thread of its own, measured, and not waited for longer than allowed."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple, TypeVar

from inference_server.models.ensemble import EnsembleModel
from inference_server.models.failures import ModelLoadError, brief, is_allocation_failure
from inference_server.models.hardware import Hardware
from inference_server.models.model import Model, ModelFile
from inference_server.models.quarantine import quarantined
from inference_server.models.repository import stamp
from inference_server.models.residency import give_memory_back, resident_bytes
from inference_server.scheduling.reports import RunMarkers

Result = TypeVar("Result")


class Built(NamedTuple):
    """A model that is warm, the memory that the process grew by (bytes), and the time it took."""

    model: Model
    grown: int
    seconds: float


class Loader:
    """Loads and warms versions up, each under its mark: what the process did if it ends by that."""

    def __init__(
        self, hardware: Hardware, seconds: float, markers: RunMarkers | None = None
    ) -> None:
        """`seconds` is how long a load may take."""
        self.hardware = hardware
        self._seconds = seconds
        self._markers = markers

    async def build(self, file: ModelFile, members: Sequence[Model]) -> Built:
        """A model that is warm; an ensemble is made of its members. Raises ModelLoadError.

        What the process grows by meanwhile is the model's, as only one is built at a time; what
        requests allocate in that time is counted with it.
        """
        try:
            async with asyncio.timeout(self._seconds):
                return await in_thread(lambda: self._build_marked(file, members))
        except TimeoutError:
            raise ModelLoadError("timeout", f"not loaded after {self._seconds:g} s") from None
        except ModelLoadError:
            raise
        except Exception as error:  # a fault of ours, or no memory: other models are not concerned
            reason = "memory" if is_allocation_failure(error) else "file"
            raise ModelLoadError(reason, f"cannot be loaded: {brief(error)}") from error

    def _build_marked(self, file: ModelFile, members: Sequence[Model]) -> Built:
        if file.problem is not None:
            raise ModelLoadError("config", file.problem)
        if reason := quarantined(file.name, file.version):
            raise ModelLoadError("quarantine", f"quarantined: {reason}")
        if self._markers is None:
            return self._build(file, members)
        marker = self._markers.running(file.name, file.version)
        marker.begin()
        try:
            return self._build(file, members)
        finally:
            marker.end()
            marker.release()

    def _build(self, file: ModelFile, members: Sequence[Model]) -> Built:
        give_memory_back()
        before, start = resident_bytes(), time.perf_counter()
        if file.config.ensemble is not None:
            model: Model = EnsembleModel(file, file.config.ensemble, members)
        else:
            model = Model(file, self.hardware)
        if file.stamp and stamp(file.path) != file.stamp[:3]:
            raise ModelLoadError("file", "the file changed while it was loaded")
        return Built(model, max(0, resident_bytes() - before), time.perf_counter() - start)


def in_thread(work: Callable[[], Result]) -> asyncio.Future[Result]:
    """Do this in a daemon thread: one that hangs keeps no process from ending."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Result] = loop.create_future()

    def run() -> None:
        outcome: list[tuple[Callable[[Any], None], Any]] = []  # this frame may outlive its use
        try:
            outcome.append((future.set_result, work()))
        except Exception as error:
            outcome.append((future.set_exception, error))
        with suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(_tell, future, outcome)

    threading.Thread(target=run, name="model-loader", daemon=True).start()
    return future


def _tell(future: asyncio.Future[Any], outcome: list[tuple[Callable[[Any], None], Any]]) -> None:
    tell, value = outcome.pop()
    if not future.done():
        tell(value)
