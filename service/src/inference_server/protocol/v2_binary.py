"""Requests with binary data: where the JSON ends, whose bytes follow, and bodies without JSON."""

from collections.abc import Mapping
from math import prod

from inference_server.errors import RequestError
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.binary import read_tensor
from inference_server.protocol.datatypes import DATATYPES
from inference_server.protocol.plan import Plan

HEADER_LENGTH = b"inference-header-content-length"


def header_length(given: bytes, available: int) -> int:
    """Bytes of JSON before the binary data; raises RequestError (400)."""
    if not given.isdigit() or len(given) > 18:
        raise RequestError(400, "Inference-Header-Content-Length is no number")
    if (size := int(given)) > available:
        raise RequestError(
            400, f"Inference-Header-Content-Length is {size}, but the body has {available} bytes"
        )
    return size


class Tail:
    """The binary data behind the JSON, taken input by input."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0

    def take(self, name: str, size: int) -> memoryview:
        """The next `size` bytes; raises RequestError (400)."""
        start, end = self._position, self._position + size
        if end > len(self._data):
            left = len(self._data) - start
            raise RequestError(
                400, f"input {name!r}: 'binary_data_size' is {size}, but {left} bytes are left"
            )
        self._position = end
        return self._data[start:end]

    def require_end(self) -> None:
        """Raise RequestError (400) if bytes are left."""
        if left := len(self._data) - self._position:
            raise RequestError(400, f"{left} bytes of binary data belong to no input")


def read_raw(body: memoryview, plan: Plan) -> Mapping[str, Tensor]:
    """The feeds in a body that is nothing but the only input's data.

    A fixed shape has to be filled; one open dimension is what the size makes it. A BYTES input
    takes the whole body as its one element, without a length. Raises RequestError (400).
    """
    spec = plan.single
    if spec is None:
        raise RequestError(400, "the model has several inputs: a raw body can hold only one")
    shape = _raw_shape(spec, len(body))
    data = body if spec.datatype != "BYTES" else _with_length(body)
    return {spec.name: read_tensor(spec, data, shape)}


def _raw_shape(spec: TensorSpec, size: int) -> tuple[int, ...]:
    """The shape that makes `size` bytes a tensor: one dimension of it may be open."""
    fixed = [each for each in spec.shape if isinstance(each, int)]
    item = prod(fixed) * DATATYPES[spec.datatype].dtype.itemsize
    opened = len(spec.shape) - len(fixed)
    if spec.datatype == "BYTES":
        if prod(fixed) != 1:
            raise RequestError(400, f"input {spec.name!r}: a raw body holds one BYTES element")
        count = 1
    elif opened > 1:
        raise RequestError(
            400, f"input {spec.name!r}: a raw body cannot say the shape {spec.wire_shape}"
        )
    elif not item or not size or size % item or (not opened and size != item):
        raise RequestError(
            400, f"input {spec.name!r}: {size} bytes do not make a tensor of {spec.wire_shape}"
        )
    else:
        count = size // item
    return tuple(each if isinstance(each, int) else count for each in spec.shape)


def _with_length(body: memoryview) -> memoryview:
    return memoryview(len(body).to_bytes(4, "little") + body)
