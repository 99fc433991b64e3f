"""Binary tensors: little-endian, row by row; a BYTES element has its length before it.

Triton's binary tensor data extension. NaN and infinities may come and go this way: here, unlike
in JSON, they are values of the datatype.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from inference_server.errors import RequestError
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.datatypes import DATATYPES

_LENGTH = struct.Struct("<I")


def read_tensor(spec: TensorSpec, data: memoryview, shape: Sequence[int]) -> Tensor:
    """A tensor of this shape over the bytes themselves, not a copy; raises RequestError (400)."""
    expected = 1
    for size in shape:
        expected *= size
    if spec.datatype == "BYTES":
        return _read_strings(spec, data, expected).reshape(shape)
    dtype = DATATYPES[spec.datatype].dtype
    if len(data) != expected * dtype.itemsize:
        raise RequestError(
            400,
            f"input {spec.name!r}: {len(data)} bytes, but shape {list(shape)} of {spec.datatype} "
            f"has {expected * dtype.itemsize}",
        )
    if spec.datatype == "BOOL":
        return _read_booleans(spec, data).reshape(shape)
    tensor = np.frombuffer(data, dtype)
    if not tensor.flags.aligned:
        tensor = tensor.copy()
    return tensor.reshape(shape)


def _read_booleans(spec: TensorSpec, data: memoryview) -> Tensor:
    tensor = np.frombuffer(data, np.uint8)
    if (tensor > 1).any():
        raise RequestError(400, f"input {spec.name!r}: a byte of a BOOL tensor is not 0 or 1")
    return tensor.view(np.bool_)


def _read_strings(spec: TensorSpec, data: memoryview, expected: int) -> Tensor:
    if expected * _LENGTH.size > len(data):
        raise _wrong_strings(spec, expected)
    strings: list[str] = []
    position, end = 0, len(data)
    try:
        while position < end and len(strings) < expected:
            start = position + _LENGTH.size
            position = start + _LENGTH.unpack_from(data, position)[0]
            if position > end:
                raise _wrong_strings(spec, expected)
            strings.append(str(data[start:position], "utf-8"))
    except UnicodeDecodeError:
        raise RequestError(400, f"input {spec.name!r}: a BYTES element is no UTF-8") from None
    except struct.error:
        raise _wrong_strings(spec, expected) from None
    if position != end or len(strings) != expected:
        raise _wrong_strings(spec, expected)
    return np.fromiter(strings, np.object_, expected)


def _wrong_strings(spec: TensorSpec, expected: int) -> RequestError:
    return RequestError(
        400,
        f"input {spec.name!r}: the lengths of its {expected} BYTES elements "
        "(4 bytes each, little-endian) do not add up to its size",
    )


def write_tensor(tensor: Tensor) -> bytes:
    """The bytes of an output."""
    if tensor.dtype.kind != "O":
        return tensor.tobytes()
    parts: list[bytes] = []
    for value in tensor.ravel().tolist():
        content = _encode(value)
        parts += (_LENGTH.pack(len(content)), content)
    return b"".join(parts)


def _encode(value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode()
