"""One inference as the server sees it, whatever brought it: HTTP's fast lane, ASGI or gRPC."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from inference_server.models.signature import Tensor

if TYPE_CHECKING:
    from inference_server.models.model import Model
    from inference_server.observability.traces import Span
    from inference_server.security.client import Client

Headers = Sequence[tuple[bytes, bytes]]


class Answer(NamedTuple):
    """What goes back: a status, headers beside the standard ones, and the body."""

    status: int
    headers: Headers
    body: bytes


class Asked(Protocol):
    """A request that fits the model: what to feed it, and how to write its answer."""

    feeds: Mapping[str, Tensor]
    rows: int

    def write(self, outputs: Mapping[str, Tensor]) -> Answer:
        """The answer in the protocol of the request; `outputs` holds its rows only."""


class Read(Protocol):
    """The reader of one protocol; raises RequestError (400, 415) that says what is wrong."""

    def __call__(self, call: Call, model: Model) -> Asked:
        """Check the body against the protocol and the model's signature."""


@dataclass(slots=True)
class Call:
    """One request for an inference; the fields below `query` are filled on its way."""

    endpoint: str  # label of the metrics: infer or predict
    path: str  # decides the form of an error
    read: Read
    model: str | None
    version: str | None
    headers: Mapping[bytes, bytes]  # names in lower case; of equal names the last
    body: bytes
    reply: Callable[[Answer], bool]  # False: the client has left
    query: Mapping[str, str] = field(default_factory=dict)
    tail: memoryview | None = None  # what follows the JSON in `body`, where that was cut already
    start: float = field(default_factory=time.perf_counter)
    priority: int = 0  # 0 goes first; by the reader, from the request's own parameters
    timeout: float | None = None  # seconds, likewise
    request_id: bytes = b""
    client: Client | None = None
    span: Span | None = None  # only of a sampled request
    cancel: Callable[[], None] | None = None  # for a client that leaves while it waits
