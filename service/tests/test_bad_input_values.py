"""The quick ways of reading JSON say what a slow and obvious reading says."""

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from inference_server.errors import RequestError
from inference_server.models.signature import TensorSpec
from inference_server.protocol.datatypes import DATATYPES, from_bfloat16, to_bfloat16
from inference_server.protocol.json_body import load_object, require_unique_keys
from inference_server.protocol.tensors import to_tensor
from ml_dtypes import bfloat16

NUMBERS = [name for name in DATATYPES if name not in ("BOOL", "BYTES")]
scalars = (
    st.integers(-(2**63), 2**64 - 1)
    | st.integers(-300, 300)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.floats(width=16, allow_nan=False, allow_infinity=False)
    | st.sampled_from([0.0, 1.0, 0, 1, 3.4028235e38, 3.5e38, 3.3961775292304957e38, 65519.9, 65520])
    | st.booleans()
    | st.none()
    | st.text(max_size=3)
)
lists = st.lists(scalars, min_size=1, max_size=8) | st.lists(
    st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=8
)


def obvious(datatype: str, values: Sequence[Any]) -> list[Any] | None:
    """The values as the datatype has them, one by one; None where one is not of it."""
    kind = DATATYPES[datatype]
    out: list[Any] = []
    for value in values:
        if type(value) not in kind.json_types:
            return None
        if datatype == "BYTES" or datatype == "BOOL":
            out.append(value)
            continue
        if datatype == "BF16":
            with np.errstate(over="ignore"):
                single = np.float32(value)
            bits = int(to_bfloat16(np.array([single]))[0]) if np.isfinite(single) else 0x7F80
            if bits & 0x7F80 == 0x7F80:
                return None
            out.append(bits)
            continue
        try:
            with np.errstate(over="ignore"):
                converted = kind.dtype.type(value)
        except OverflowError:
            return None
        if kind.dtype.kind == "f" and not np.isfinite(converted):
            return None
        out.append(converted)
    return out


def read(datatype: str, data: Any, shape: Sequence[int]) -> list[Any] | None:
    """The values as the server reads them; None where it refuses."""
    kind = DATATYPES[datatype]
    spec = TensorSpec("x", datatype, kind.dtype, tuple("N" for _ in shape))
    body = orjson.dumps({"data": data})
    try:
        tensor = to_tensor(spec, orjson.loads(body)["data"], shape, body)
    except RequestError:
        return None
    assert tensor.dtype == kind.dtype
    assert tensor.shape == tuple(shape)
    return list(tensor.ravel())


@settings(max_examples=1500, deadline=None)
@given(st.sampled_from(list(DATATYPES)), lists)
@example("FP32", [1.5, True])
@example("FP32", [1, False])
@example("INT8", [True])
@example("FP16", [65520])
@example("FP32", ["1.5"])
@example("UINT64", [2**64 - 1])
def test_values_are_taken_or_refused_one_like_the_other(datatype: str, values: list[Any]) -> None:
    assert read(datatype, values, [len(values)]) == obvious(datatype, values)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(NUMBERS), st.integers(1, 3), st.integers(1, 3), st.data())
def test_nested_values_are_read_like_flat_ones(
    datatype: str, rows: int, columns: int, data: st.DataObject
) -> None:
    values = data.draw(st.lists(scalars, min_size=rows * columns, max_size=rows * columns))
    nested = [values[row * columns : (row + 1) * columns] for row in range(rows)]
    expected = obvious(datatype, values)
    assert read(datatype, nested, [rows, columns]) == expected
    assert read(datatype, [[[value] for value in row] for row in nested], [rows, columns, 1]) == (
        expected
    )


@pytest.mark.parametrize("spoilt", [True, False, None, "1", [1.0], {}, 1e39])
@pytest.mark.parametrize("nested", [False, True])
def test_one_wrong_value_among_many_is_found(spoilt: Any, nested: bool) -> None:
    values: list[Any] = [0.5] * 3000
    assert read("FP32", values, [3000]) is not None
    values[2999] = spoilt
    data: Any = [values[:1500], values[1500:]] if nested else values
    assert read("FP32", data, [2, 1500] if nested else [3000]) is None


@pytest.mark.parametrize(
    ("data", "shape"),
    [
        ([[1.0, 2.0], [3.0, 4.0]], [2]),
        ([[1.0, 2.0], [3.0, 4.0]], [4]),
        ([[1.0, 2.0, 3.0, 4.0]], [2, 2]),
        ([[1.0], [2.0, 3.0, 4.0]], [2, 2]),
        ([[1.0, 2.0], 3.0, 4.0], [2, 2]),
        ([{"a": 1.0, "b": 1.0}, [3.0, 4.0]], [2, 2]),
        (["ab", [3.0, 4.0]], [2, 2]),
        ([1.0, 2.0, 3.0, 4.0], [2**62, 4]),
        ([1.0, 2.0, 3.0], [2, 2]),
        ([1.0, 2.0, 3.0, 4.0, 5.0], [2, 2]),
        ([[1.0]], []),
        ([], [1]),
        (1.0, []),
    ],
)
def test_data_that_does_not_have_the_shape_is_refused(data: Any, shape: list[int]) -> None:
    assert read("FP32", data, shape) is None


def test_a_scalar_has_no_dimensions() -> None:
    assert read("FP32", [0.5], []) == [0.5]


@given(st.floats(-(2.0**126), 2.0**126, width=32))
def test_bfloat16_is_the_nearest_value(value: float) -> None:
    assert from_bfloat16(to_bfloat16([value]))[0] == np.float32(bfloat16(value))


# Keys that stand twice.

keys = st.text(alphabet='ab:"\\é', min_size=1, max_size=3)
documents = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.text(alphabet='a:"\\,{}é', max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.lists(st.tuples(keys, inner), max_size=3),
    max_leaves=8,
)


def dump(value: Any, escape: bool) -> str:
    """JSON in which a list of pairs is an object, whatever its keys."""
    if isinstance(value, list) and value and all(isinstance(each, tuple) for each in value):
        inner = ", ".join(f"{dump(k, escape)} : {dump(v, escape)}" for k, v in value)
        return "{" + inner + "}"
    if isinstance(value, (list, tuple)):
        return "[" + ",".join(dump(each, escape) for each in value) + "]"
    text = json.dumps(value)
    return text.replace(":", "\\u003a") if escape and isinstance(value, str) else text


def has_repeated_key(text: str) -> bool:
    found = False

    def look(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        nonlocal found
        found = found or len(dict(pairs)) != len(pairs)
        return dict(pairs)

    json.loads(text, object_pairs_hook=look)
    return found


@settings(max_examples=1000, deadline=None)
@given(st.lists(st.tuples(keys, documents), min_size=1, max_size=4), st.booleans())
def test_a_key_that_stands_twice_is_found_wherever_it_is(document: Any, escape: bool) -> None:
    text = dump(document, escape)
    body = text.encode()
    try:
        require_unique_keys(body, load_object(body), 0)
    except RequestError:
        assert has_repeated_key(text)
    else:
        assert not has_repeated_key(text)


def test_a_repeated_key_in_a_long_body_is_refused() -> None:
    long = ",".join(["0.5"] * 200_000)
    body = f'{{"a": [{long}], "b": "x:y", "b": 1}}'.encode()
    with pytest.raises(RequestError, match="stands twice"):
        require_unique_keys(body, load_object(body), 2)
