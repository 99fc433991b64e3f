"""The protocol's datatypes in numpy's words; BF16, which numpy lacks, is carried as its bits."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from inference_server.models.signature import Tensor

_INT = frozenset({int})
_NUMBER = frozenset({int, float})


@dataclass(frozen=True, slots=True)
class Datatype:
    """How values of one datatype look in JSON and in memory."""

    name: str
    dtype: np.dtype[Any]
    json_types: frozenset[type]
    limit_squared: float = np.inf  # a float whose square is below it fits for certain


def _float(name: str, dtype: npt.DTypeLike, largest: float) -> Datatype:
    return Datatype(name, np.dtype(dtype), _NUMBER, largest**2)


_BF16_LARGEST = 3.3895313892515355e38
DATATYPES: dict[str, Datatype] = {
    each.name: each
    for each in (
        Datatype("BOOL", np.dtype(np.bool_), frozenset({bool})),
        *(
            Datatype(f"{sign}INT{bits}", np.dtype(f"{sign.lower()}int{bits}"), _INT)
            for sign in ("", "U")
            for bits in (8, 16, 32, 64)
        ),
        _float("FP16", np.float16, 65504.0),
        _float("BF16", np.uint16, _BF16_LARGEST),
        _float("FP32", np.float32, float(np.finfo(np.float32).max)),
        Datatype("FP64", np.dtype(np.float64), _NUMBER),
        Datatype("BYTES", np.dtype(np.object_), frozenset({str})),
    )
}


def to_bfloat16(values: Sequence[float] | Tensor) -> Tensor:
    """The bits of the nearest bfloat16 values, ties to even; finite floats only."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    rounded = bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))
    return (rounded >> np.uint32(16)).astype(np.uint16)


def from_bfloat16(bits: Tensor) -> Tensor:
    """The float32 values of bfloat16 bits; exact."""
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)
