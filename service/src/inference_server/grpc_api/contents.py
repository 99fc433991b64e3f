"""Tensors as lists of one type each (InferTensorContents); raw bytes are those of REST's binary."""

from collections.abc import Sequence
from math import prod
from typing import Any

import numpy as np

from inference_server.errors import RequestError
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.datatypes import DATATYPES

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


def has_list(datatype: str) -> bool:
    """Whether the protocol has a list for values of this datatype."""
    return datatype in _LISTS


def read_lists(spec: TensorSpec, contents: Any, shape: Sequence[int]) -> Tensor:
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
        raise RequestError(
            400,
            f"input {spec.name!r}: {len(values)} values, but shape {list(shape)} holds "
            f"{prod(shape)}",
        )
    flat = _texts(spec, values) if spec.datatype == "BYTES" else _numbers(spec, values)
    return flat.reshape(shape)


def _numbers(spec: TensorSpec, values: Sequence[Any]) -> Tensor:
    """The values in the model's own type, which may be smaller than the list's."""
    try:
        return np.fromiter(values, DATATYPES[spec.datatype].dtype, len(values))
    except OverflowError:
        raise RequestError(
            400, f"input {spec.name!r}: a value does not fit {spec.datatype}"
        ) from None


def _texts(spec: TensorSpec, values: Sequence[bytes]) -> Tensor:
    try:
        return np.fromiter((value.decode() for value in values), np.object_, len(values))
    except UnicodeDecodeError:
        raise RequestError(400, f"input {spec.name!r}: a BYTES element is no UTF-8") from None


def write_lists(datatype: str, tensor: Tensor, contents: Any) -> None:
    """Write a tensor into InferTensorContents."""
    values = tensor.ravel().tolist()
    if datatype == "BYTES":
        values = [value.encode() if isinstance(value, str) else value for value in values]
    getattr(contents, _LISTS[datatype]).extend(values)
