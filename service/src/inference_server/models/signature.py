"""What a model takes and gives: names, datatypes and shapes of its tensors."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[Any]

_DATATYPES: dict[str, tuple[str, type[Any]]] = {
    "tensor(bool)": ("BOOL", np.bool_),
    "tensor(uint8)": ("UINT8", np.uint8),
    "tensor(uint16)": ("UINT16", np.uint16),
    "tensor(uint32)": ("UINT32", np.uint32),
    "tensor(uint64)": ("UINT64", np.uint64),
    "tensor(int8)": ("INT8", np.int8),
    "tensor(int16)": ("INT16", np.int16),
    "tensor(int32)": ("INT32", np.int32),
    "tensor(int64)": ("INT64", np.int64),
    "tensor(float16)": ("FP16", np.float16),
    "tensor(bfloat16)": ("BF16", np.uint16),
    "tensor(float)": ("FP32", np.float32),
    "tensor(double)": ("FP64", np.float64),
    "tensor(string)": ("BYTES", np.object_),
}


class UnsupportedTensorError(Exception):
    """A model input or output that the protocol cannot carry."""


class NodeArgument(Protocol):
    """ONNX Runtime's description of one input or output."""

    name: str
    type: str
    shape: Sequence[int | str | None]


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of the signature; a dimension is a size, or a name where it is dynamic.

    BF16 travels as bit patterns in uint16 (`models/bfloat16.py`), BYTES as objects.
    """

    name: str
    datatype: str
    dtype: npt.DTypeLike
    shape: tuple[int | str | None, ...]

    @property
    def wire_shape(self) -> list[int]:
        """The shape as the protocol writes it: -1 for a dynamic dimension."""
        return [size if isinstance(size, int) else -1 for size in self.shape]

    def sized(self, rows: int, inner: Sequence[int] = ()) -> list[int]:
        """The shape with `rows` for a dynamic first dimension, `inner` (else 1) for later ones."""
        told = [rows, *inner]
        told += [1] * (len(self.shape) - len(told))
        return [
            size if isinstance(size, int) else told[place] for place, size in enumerate(self.shape)
        ]

    def sample(self, inner: Sequence[int] = ()) -> Tensor:
        """One row of zeros (or empty strings); `inner` are the sizes of later dimensions."""
        shape = self.sized(1, inner)
        if self.datatype == "BYTES":
            return np.full(shape, "", dtype=np.object_)
        return np.zeros(shape, dtype=self.dtype)


def sample_feeds(
    specs: Iterable[TensorSpec], shapes: Mapping[str, Sequence[int]]
) -> dict[str, Tensor]:
    """A row of zeros for each input; `shapes` holds, by name, sizes after the first dimension."""
    return {spec.name: spec.sample(shapes.get(spec.name, ())) for spec in specs}


def read_spec(argument: NodeArgument) -> TensorSpec:
    """The spec of one ONNX Runtime argument; raises UnsupportedTensorError."""
    if argument.type not in _DATATYPES:
        raise UnsupportedTensorError(
            f"tensor {argument.name!r} has type {argument.type}, which the protocol cannot carry"
            + (" (export with zipmap off)" if "map" in argument.type else "")
        )
    datatype, dtype = _DATATYPES[argument.type]
    return TensorSpec(argument.name, datatype, dtype, tuple(argument.shape))
