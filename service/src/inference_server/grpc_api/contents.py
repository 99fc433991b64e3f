"""Tensors as gRPC carries them: raw little-endian bytes, or lists of one type each."""

import struct
from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from inference_server.errors import RequestError
from inference_server.models.signature import Tensor, TensorSpec

# FP16 and BF16 have no list: the protocol carries them as raw bytes only.
_LISTS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_LENGTH = struct.Struct("<I")


def has_list(datatype: str) -> bool:
    """Whether the protocol has a list for values of this datatype."""
    return datatype in _LISTS


def from_raw(spec: TensorSpec, content: bytes, shape: Sequence[int]) -> Tensor:
    """A tensor from its bytes; raises RequestError (400) unless they are exactly as many."""
    if spec.datatype == "BYTES":
        return _texts(spec, _split(spec, content), shape)
    dtype = np.dtype(spec.dtype)
    expected = prod(shape) * dtype.itemsize
    if len(content) != expected:
        raise RequestError(
            400,
            f"input {spec.name!r}: {len(content)} bytes, but shape {list(shape)} of "
            f"{spec.datatype} takes {expected}",
        )
    if spec.datatype == "BOOL" and (np.frombuffer(content, np.uint8) > 1).any():
        raise RequestError(400, f"input {spec.name!r}: a BOOL is one byte, 0 or 1")
    return np.frombuffer(content, dtype).reshape(shape)


def from_lists(spec: TensorSpec, contents: Any, shape: Sequence[int]) -> Tensor:
    """A tensor from InferTensorContents; raises RequestError (400)."""
    if spec.datatype not in _LISTS:
        raise RequestError(
            400, f"input {spec.name!r}: {spec.datatype} is carried by raw_input_contents only"
        )
    wanted = _LISTS[spec.datatype]
    for field, _ in contents.ListFields():
        if field.name != wanted:
            raise RequestError(
                400, f"input {spec.name!r}: {spec.datatype} belongs in {wanted}, not {field.name}"
            )
    values = getattr(contents, wanted)
    if len(values) != prod(shape):
        raise _wrong_count(spec, len(values), shape)
    if spec.datatype == "BYTES":
        return _texts(spec, values, shape)
    return _narrow(spec, np.array(values)).reshape(shape)


def _narrow(spec: TensorSpec, values: Tensor) -> Tensor:
    """The values in the model's own type, which may be smaller than the list's."""
    dtype = np.dtype(spec.dtype)
    if dtype.kind in "iu":
        limits = np.iinfo(dtype)
        if values.min() < limits.min or values.max() > limits.max:
            raise RequestError(400, f"input {spec.name!r}: a value does not fit {spec.datatype}")
    return values.astype(dtype)


def _split(spec: TensorSpec, content: bytes) -> list[bytes]:
    """The elements of a BYTES tensor, each behind its length in four bytes."""
    parts, position, end = [], 0, len(content)
    while position + 4 <= end:
        (size,) = _LENGTH.unpack_from(content, position)
        position += 4 + size
        parts.append(content[position - size : position])
    if position != end:
        raise RequestError(400, f"input {spec.name!r}: the lengths of its BYTES do not add up")
    return parts


def _texts(spec: TensorSpec, parts: Sequence[bytes], shape: Sequence[int]) -> Tensor:
    if len(parts) != prod(shape):
        raise _wrong_count(spec, len(parts), shape)
    tensor = np.empty(len(parts), dtype=np.object_)
    try:
        tensor[:] = [part.decode() for part in parts]
    except UnicodeDecodeError:
        raise RequestError(400, f"input {spec.name!r}: a string is no UTF-8") from None
    return tensor.reshape(shape)


def _wrong_count(spec: TensorSpec, count: int, shape: Sequence[int]) -> RequestError:
    return RequestError(
        400,
        f"input {spec.name!r}: {count} values, but shape {list(shape)} holds {prod(shape)}",
    )


def to_raw(datatype: str, tensor: Tensor) -> bytes:
    """The bytes of a tensor in row-major order, little-endian."""
    if datatype != "BYTES":
        return tensor.tobytes()
    parts = [_encoded(text) for text in tensor.ravel()]
    return b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def to_lists(datatype: str, tensor: Tensor, contents: Any) -> None:
    """Write a tensor into InferTensorContents."""
    values = tensor.ravel().tolist()
    if datatype == "BYTES":
        values = [_encoded(text) for text in values]
    getattr(contents, _LISTS[datatype]).extend(values)


def _encoded(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text
