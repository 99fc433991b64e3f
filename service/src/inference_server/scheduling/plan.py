"""How one lane runs its model: the model's own configuration over the settings of the server."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from inference_server.models.signature import Tensor, TensorSpec

if TYPE_CHECKING:
    from inference_server.models.config import ModelConfig
    from inference_server.settings import Settings

_CPU = "CPUExecutionProvider"
_WORTH = 0.9  # of a row's time: what a larger batch has to save at least
_AROUND = 50e-6  # seconds that a run costs beside ONNX Runtime
_LARGEST_INLINE_FACTOR = 64  # times the batch size that warm-up measured


class Runnable(Protocol):
    """What a lane needs of a model; `run` is called from several threads at once."""

    name: str
    version: int
    provider: str
    max_batch_size: int  # 1 where rows cannot be joined
    buckets: tuple[int, ...]  # sizes that warm-up ran, up to the largest

    @property
    def seconds(self) -> Mapping[int, float]:
        """What a run of each size took at warm-up."""

    @property
    def inputs(self) -> Mapping[str, TensorSpec]:
        """The signature."""

    def run(self, feeds: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """All outputs; raises InferenceError."""


@dataclass(frozen=True, slots=True)
class LanePlan:
    """Rows, requests, bytes and seconds that bound a lane."""

    max_rows: int = 32
    seconds: float = 0.01  # of a run of so many rows
    buckets: tuple[int, ...] = ()  # batches are padded up to these; empty: no padding
    delay_seconds: float = 0.0
    max_queue: int = 256
    threads: int = 1
    levels: int = 1
    inline_seconds: float = 0.0  # 0: always in threads
    hang_seconds: float = 30.0
    cache_bytes: int = 0
    sample_shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def max_queued_rows(self) -> int:
        """As many as a full queue of full batches: what bounds the memory of large requests."""
        return self.max_queue * self.max_rows


def plan_lane(model: Runnable, config: ModelConfig, settings: Settings) -> LanePlan:
    """The plan of one model version on the hardware that it really runs on."""
    on_cpu = model.provider == _CPU
    max_rows = model.max_batch_size
    if on_cpu and config.max_batch_size is None and not config.batch_buckets:
        max_rows = worthwhile_rows(model.seconds)
    return LanePlan(
        max_rows=max_rows,
        buckets=() if on_cpu or max_rows == 1 else model.buckets,
        seconds=model.seconds[max_rows],
        delay_seconds=config.batch_delay_ms / 1000,
        max_queue=config.max_queue or settings.max_queue,
        threads=config.instances or settings.inference_threads,
        levels=config.priority_levels,
        inline_seconds=settings.inline_ms / 1000 if on_cpu and is_uniform(model) else 0.0,
        hang_seconds=settings.hang_seconds,
        cache_bytes=config.cache,
        sample_shapes=config.warm_up_shapes,
    )


def worthwhile_rows(seconds: Mapping[int, float]) -> int:
    """The batch size, of those timed, beyond which no larger one saves a tenth of a row's time.

    A batch that costs as much as its rows would only make the first of them wait for the last,
    and one thread do what several could.
    """
    each = {rows: (taken + _AROUND) / rows for rows, taken in seconds.items()}
    best = min(each.values())
    return min(rows for rows, cost in each.items() if cost * _WORTH <= best)


def is_uniform(model: Runnable) -> bool:
    """Whether only the first dimension is open: all requests fit together, as in warm-up."""
    return all(
        isinstance(size, int) and size >= 0
        for spec in model.inputs.values()
        for size in spec.shape[1:]
    )


def inline_rows(plan: LanePlan) -> int:
    """The largest request that may run inside the event loop, by the time of a full batch."""
    if plan.seconds >= plan.inline_seconds:
        return 0
    factor = min(plan.inline_seconds / max(plan.seconds, 1e-6), _LARGEST_INLINE_FACTOR)
    return int(plan.max_rows * factor)
