"""Requests as the scheduler holds them, put together into one run and taken apart again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import inf
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from inference_server.models.signature import Tensor

if TYPE_CHECKING:
    from inference_server.scheduling.waiting import WaitingRequests

Feeds = Mapping[str, Tensor]
Outputs = Mapping[str, Tensor]


class Outcome(NamedTuple):
    """What became of a request; one of `outputs` and `error` is None.

    `error` is a RequestError (499, 503, 504) or an InferenceError. Both times are seconds;
    `batch_rows` counts the rows of all requests of the run, 0 where nothing ran.
    """

    outputs: Outputs | None
    error: Exception | None
    queued: float
    inference: float
    batch_rows: int


Done = Callable[[Outcome], None]


class UnsplittableError(Exception):
    """An output without one row for each input row: it cannot be shared out."""


class Request:
    """One submitted request; `done` is None as soon as it has its outcome."""

    __slots__ = (
        "alone",
        "arrived",
        "cache_key",
        "deadline",
        "done",
        "feeds",
        "key",
        "level",
        "rows",
        "waiting",
    )

    def __init__(
        self,
        feeds: Feeds,
        rows: int,
        done: Done | None,
        arrived: float,
        deadline: float = inf,
        level: int = 0,
        key: object = None,
        cache_key: bytes | None = None,
    ) -> None:
        self.feeds = feeds
        self.rows = rows
        self.done = done
        self.arrived = arrived
        self.deadline = deadline
        self.level = level
        self.key = key
        self.cache_key = cache_key
        self.alone = rows == 0
        self.waiting: WaitingRequests | None = None  # where it waits


class Batch:
    """Requests that run together, and what came of it; written by one thread at a time."""

    __slots__ = (
        "busy",
        "error",
        "late",
        "outputs",
        "padded",
        "requests",
        "rows",
        "seconds",
        "started",
    )

    def __init__(self, requests: list[Request], rows: int, late: list[Request]) -> None:
        self.requests = requests
        self.rows = self.padded = rows
        self.late = late  # their deadline passed while they waited: not to be run
        self.started = 0.0
        self.seconds = 0.0
        self.busy = 0.0  # seconds that the thread of the run really had a processor
        self.outputs: list[Outputs] = []
        self.error: Exception | None = None


def batch_key(feeds: Feeds) -> object:
    """Equal for requests that fit into one batch: dtypes and dimensions but the first."""
    return tuple((name, tensor.dtype.char, tensor.shape[1:]) for name, tensor in feeds.items())


def bucket(rows: int, buckets: Sequence[int]) -> int:
    """The smallest bucket that holds the rows; more rows than the largest stay as they are."""
    return next((size for size in buckets if size >= rows), rows)


def assemble(requests: Sequence[Request], rows: int, padded: int) -> Feeds:
    """The requests' rows in their order, with the last row repeated up to `padded` rows."""
    first = requests[0].feeds
    if len(requests) == 1 and padded == rows:
        return first
    feeds = {}
    for name in first:
        parts = [request.feeds[name] for request in requests]
        if padded > rows:
            last = parts[-1][-1:]
            parts.append(np.broadcast_to(last, (padded - rows, *last.shape[1:])))
        feeds[name] = np.concatenate(parts)
    return feeds


def split(outputs: Outputs, requests: Sequence[Request], padded: int) -> list[Outputs]:
    """Each request's own rows, as views; raises UnsplittableError."""
    tensors = tuple(outputs.items())
    for name, tensor in tensors:
        if not tensor.shape or tensor.shape[0] != padded:
            raise UnsplittableError(f"output {name!r} has no row for each of {padded} input rows")
    parts: list[Outputs] = []
    start = 0
    for request in requests:
        stop = start + request.rows
        part = {}  # filled by a loop: half as fast again as a comprehension
        for name, tensor in tensors:
            part[name] = tensor[start:stop]
        parts.append(part)
        start = stop
    return parts


def drop_padding(outputs: Outputs, rows: int) -> Outputs:
    """The outputs without the rows that `assemble` added."""
    return {name: tensor[:rows] for name, tensor in outputs.items()}
