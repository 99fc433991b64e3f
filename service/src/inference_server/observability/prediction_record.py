"""One logged prediction: how it is made, and how it is read again for drift work.

`prediction-record.schema.json` beside this module is the JSON Schema of a record.
"""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from time import time
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson

from inference_server.models.signature import Tensor
from inference_server.observability.traces import trace_id_of

if TYPE_CHECKING:
    from inference_server.inference.call import Call
    from inference_server.models.model import Model
    from inference_server.scheduling.batch import Outcome

SCHEMA = 1
SCHEMA_FILE = Path(__file__).with_name("prediction-record.schema.json")

_TEXT = 2**16
_KINDS = {"f": "FP", "i": "INT", "u": "UINT", "b": "BOOL"}


class Part(NamedTuple):
    """The first rows of a tensor, with the shape of the whole."""

    datatype: str
    shape: tuple[int, ...]
    values: Tensor


class Record(NamedTuple):
    """One prediction as it waits to be written."""

    at: float
    request_id: str
    trace_id: str | None
    model: str
    version: int
    sha256: str
    client: str | None
    inference_ms: float
    inputs: Mapping[str, Part]
    outputs: Mapping[str, Part]

    def content(self) -> dict[str, Any]:
        """The record as the JSON Schema has it."""
        moment = datetime.fromtimestamp(self.at, UTC).isoformat(timespec="milliseconds")
        return {
            "schema": SCHEMA,
            "at": moment.replace("+00:00", "Z"),
            "request_id": self.request_id,
            "trace_id": self.trace_id,
            "model": self.model,
            "version": self.version,
            "sha256": self.sha256,
            "client": self.client,
            "inference_ms": self.inference_ms,
            "inputs": {name: _tensor(part) for name, part in self.inputs.items()},
            "outputs": {name: _tensor(part) for name, part in self.outputs.items()},
        }

    def line(self) -> bytes:
        """The record as one line of JSON; NaN and infinities become null."""
        return orjson.dumps(self.content(), option=orjson.OPT_APPEND_NEWLINE)


def take(
    call: "Call",
    model: "Model",
    feeds: Mapping[str, Tensor],
    outputs: Mapping[str, Tensor],
    outcome: "Outcome",
    most: int,
) -> Record:
    """A copy of what a prediction was; of each tensor as many whole rows as `most` values hold."""
    return Record(
        time(),
        call.request_id.decode("latin-1"),
        call.span.trace_id if call.span is not None else trace_id_of(call.headers),
        model.name,
        int(model.version),
        model.sha256,
        call.client.id if call.client is not None else None,
        round(outcome.inference * 1000, 3),
        {name: _part(tensor, most) for name, tensor in feeds.items()},
        {name: _part(tensor, most) for name, tensor in outputs.items()},
    )


def read_predictions(folder: Path) -> Iterator[dict[str, Any]]:
    """Every record of a folder, file by file, the oldest file first.

    What a killed server left at the end of a file, a torn line or half an archive, is skipped.
    """
    plain = {path.name: path for path in folder.glob("predictions-*.jsonl")}
    packed = {path.name[: -len(".gz")]: path for path in folder.glob("predictions-*.jsonl.gz")}
    for _, path in sorted((plain | packed).items()):  # both: the archive is whole
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as lines:
            yield from _records(lines)


def _records(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    try:
        for line in lines:
            if line.endswith(b"\n"):
                yield json.loads(line)
    except (EOFError, zlib.error):
        return


def _part(tensor: Tensor, most: int) -> Part:
    shape = tensor.shape
    row = int(np.prod(shape[1:])) if tensor.ndim else 1
    rows = most // row if row else 0
    kept = (tensor[:rows] if tensor.ndim else tensor).ravel()
    datatype = _datatype(tensor)
    return Part(datatype, shape, _cut(kept) if datatype == "BYTES" else kept.copy())


def _cut(texts: Tensor) -> Tensor:
    """The texts of a tensor, each cut so that all together stay small."""
    most = _TEXT // max(1, texts.size)
    cut = np.empty(texts.size, dtype=object)
    cut[:] = [text[:most] for text in texts.tolist()]
    return cut


def _datatype(tensor: Tensor) -> str:
    kind = tensor.dtype.kind
    if kind == "b":
        return "BOOL"
    if kind in _KINDS:
        return f"{_KINDS[kind]}{tensor.dtype.itemsize * 8}"
    return "BYTES" if kind in "OSU" else str(tensor.dtype)


def _tensor(part: Part) -> dict[str, Any]:
    values = part.values.tolist()
    if part.datatype == "BYTES":
        values = [_text(value) for value in values]
    elif part.values.dtype.kind == "V":
        values = [float(value) for value in values]
    return {"datatype": part.datatype, "shape": list(part.shape), "data": values}


def _text(value: bytes | str) -> str:
    """Text that every store takes: PostgreSQL has no NUL, JSON no lone surrogates."""
    text = value if isinstance(value, str) else value.decode("utf-8", "replace")
    return text.replace("\0", "\ufffd").encode("utf-8", "replace").decode()
