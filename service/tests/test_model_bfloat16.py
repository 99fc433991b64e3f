"""bfloat16 is the upper half of a float32, rounded to the nearest."""

import ml_dtypes
import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from inference_server.models.bfloat16 import from_bfloat16, to_bfloat16


@given(st.lists(st.floats(width=32), min_size=1))
def test_values_are_rounded_as_the_reference_implementation_rounds(values: list[float]) -> None:
    numbers = np.array(values, dtype=np.float32)
    expected = numbers.astype(ml_dtypes.bfloat16).astype(np.float32)
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(numbers)), expected)


def test_every_bit_pattern_survives_the_way_there_and_back() -> None:
    bits = np.arange(2**16, dtype=np.uint16)
    numbers = from_bfloat16(bits)
    known = ~np.isnan(numbers)
    np.testing.assert_array_equal(to_bfloat16(numbers)[known], bits[known])
    assert np.isnan(from_bfloat16(to_bfloat16(numbers[~known]))).all()
