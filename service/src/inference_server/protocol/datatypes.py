"""The protocol's datatypes in numpy's words; BF16, which numpy lacks, is carried as its bits."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from inference_server.models.signature import Tensor

_INT = frozenset({int})
_NUMBER = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class Datatype:
    """How values of one datatype look in JSON and in memory.

    `code` is the `struct` format that packs Python numbers so, where one does; booleans come out of
    it as `zero` and `one`.
    """

    name: str
    dtype: np.dtype[Any]
    json_types: frozenset[type]
    code: str | None = None
    zero: bytes = b""
    one: bytes = b""


def _number(name: str, dtype: str, code: str, json_types: frozenset[type]) -> Datatype:
    zero, one = struct.pack(code, 0), struct.pack(code, 1)
    return Datatype(name, np.dtype(dtype), json_types, code, zero, one)


DATATYPES: dict[str, Datatype] = {
    each.name: each
    for each in (
        Datatype("BOOL", np.dtype(np.bool_), frozenset({bool})),
        _number("INT8", "int8", "b", _INT),
        _number("INT16", "int16", "h", _INT),
        _number("INT32", "int32", "i", _INT),
        _number("INT64", "int64", "q", _INT),
        _number("UINT8", "uint8", "B", _INT),
        _number("UINT16", "uint16", "H", _INT),
        _number("UINT32", "uint32", "I", _INT),
        _number("UINT64", "uint64", "Q", _INT),
        _number("FP16", "float16", "e", _NUMBER),
        Datatype("BF16", np.dtype(np.uint16), _NUMBER),
        _number("FP32", "float32", "f", _NUMBER),
        _number("FP64", "float64", "d", _NUMBER),
        Datatype("BYTES", np.dtype(np.object_), frozenset({str})),
    )
}


@lru_cache(maxsize=1024)
def packer(code: str, count: int) -> Callable[..., bytes]:
    """A function that packs `count` numbers into native bytes.

    It raises `struct.error` or OverflowError for what is no number, and for one that does not fit;
    a boolean passes for 0 or 1.
    """
    order = "=" if code == "f" else "@"  # "@" lets a float32 overflow into infinity
    return struct.Struct(f"{order}{count}{code}").pack


def to_bfloat16(values: Sequence[float] | Tensor) -> Tensor:
    """The bits of the nearest bfloat16 values, ties to even; finite floats only."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)


def from_bfloat16(bits: Tensor) -> Tensor:
    """The float32 values of bfloat16 bits; exact."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
