"""bfloat16 as numpy can hold it: bit patterns in uint16, the upper half of a float32."""

import numpy as np
import numpy.typing as npt

Bits = npt.NDArray[np.uint16]


def to_bfloat16(values: npt.NDArray[np.float32]) -> Bits:
    """The nearest bfloat16 of each value, ties to even; what is too large becomes infinite."""
    bits = np.asarray(values, dtype=np.float32).view(np.uint32)
    rounded = ((bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) >> 16).astype(np.uint16)
    return np.where(np.isnan(values), np.uint16(0x7FC0), rounded)


def from_bfloat16(bits: Bits) -> npt.NDArray[np.float32]:
    """The same values as float32, exactly."""
    return (np.asarray(bits).astype(np.uint32) << 16).view(np.float32)
