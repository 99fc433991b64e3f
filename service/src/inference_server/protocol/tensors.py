"""JSON values to tensors: nothing is converted that the sender did not say."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from inference_server.errors import RequestError
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.datatypes import DATATYPES, Datatype, to_bfloat16


def to_tensor(spec: TensorSpec, values: Sequence[Any], shape: Sequence[int]) -> Tensor:
    """A tensor of this shape from a flat list of JSON values; raises RequestError (400)."""
    datatype = DATATYPES[spec.datatype]
    kinds = set(map(type, values))
    if not kinds <= datatype.json_types:
        wrong = sorted(json_name(kind) for kind in kinds - datatype.json_types)
        raise RequestError(
            400, f"input {spec.name!r}: {wrong[0]} in the data, expected {spec.datatype}"
        )
    if datatype.limit_squared != np.inf:
        return _to_floats(spec, datatype, values).reshape(shape)
    try:
        return np.fromiter(values, datatype.dtype, len(values)).reshape(shape)
    except OverflowError:
        raise _out_of_range(spec) from None


def _to_floats(spec: TensorSpec, datatype: Datatype, values: Sequence[float]) -> Tensor:
    """Floats smaller than JSON's: what does not fit would become infinite."""
    exact = np.fromiter(values, np.float64, len(values))
    bits16 = datatype.name == "BF16"
    # One pass instead of two: a sum of squares below the limit bounds each value.
    if exact.size < 4096 and exact.dot(exact) < datatype.limit_squared:
        return to_bfloat16(exact) if bits16 else exact.astype(datatype.dtype)
    with np.errstate(over="ignore"):
        tensor = exact.astype(np.float32 if bits16 else datatype.dtype)
    if not np.isfinite(tensor).all():
        raise _out_of_range(spec)
    if not bits16:
        return tensor
    bits = to_bfloat16(tensor)
    if ((bits & 0x7F80) == 0x7F80).any():
        raise _out_of_range(spec)
    return bits


def flatten(name: str, data: Any, shape: Sequence[int]) -> list[Any]:
    """The values of a flat or nested list as a flat one, if it fits the shape.

    Raises RequestError (400) for ragged lists and for a wrong number of values.
    """
    if type(data) is not list:
        raise RequestError(400, f"input {name!r}: 'data' is {json_name(type(data))}, not an array")
    expected = 1
    for size in shape:
        expected *= size
    flat = data
    if data and type(data[0]) is list:
        flat = _unnest(name, data, shape)
    if len(flat) != expected:
        raise RequestError(
            400, f"input {name!r}: {len(flat)} values, but shape {list(shape)} holds {expected}"
        )
    return flat


def _unnest(name: str, data: list[Any], shape: Sequence[int]) -> list[Any]:
    flat = data
    for depth, size in enumerate(shape):
        if depth:
            if not all(type(part) is list for part in flat):
                raise RequestError(400, f"input {name!r}: values and arrays mixed in 'data'")
            if any(len(part) != size for part in flat):
                raise RequestError(
                    400, f"input {name!r}: 'data' is not nested like shape {list(shape)}"
                )
            flat = list(chain.from_iterable(flat))
        elif len(flat) != size:
            raise RequestError(
                400, f"input {name!r}: {len(flat)} rows, but shape {list(shape)} has {size}"
            )
    return flat


def check_shape(spec: TensorSpec, shape: Sequence[int], sizes: dict[str, int]) -> None:
    """Compare a shape with the signature; raises RequestError (400).

    `sizes` holds what named dimensions turned out to be, over all inputs of the request.
    """
    if len(shape) != len(spec.shape):
        raise _wrong_shape(spec, shape)
    for size, declared in zip(shape, spec.shape, strict=True):
        if isinstance(declared, int):
            if size != declared:
                raise _wrong_shape(spec, shape)
        elif declared and sizes.setdefault(declared, size) != size:
            raise RequestError(
                400,
                f"input {spec.name!r}: dimension {declared!r} is {size}, "
                f"but {sizes[declared]} in another input",
            )


def check_names(given: Sequence[str], specs: Mapping[str, TensorSpec]) -> None:
    """Every input once, and none that the model lacks; raises RequestError (400)."""
    seen: set[str] = set()
    for name in given:
        if name not in specs:
            raise RequestError(400, f"unknown input {name[:128]!r}; {_takes(specs)}")
        if name in seen:
            raise RequestError(400, f"input {name!r} is given twice")
        seen.add(name)
    if missing := [name for name in specs if name not in seen]:
        raise RequestError(400, f"input {missing[0]!r} is missing; {_takes(specs)}")


def count_rows(feeds: Mapping[str, Tensor], batchable: bool) -> int:
    """Rows that the first dimension counts, 1 where the model has no batch dimension.

    Raises RequestError (400) for inputs of different numbers of rows, which a batch would mix up.
    """
    if not batchable:
        return 1
    rows: set[int] = {tensor.shape[0] for tensor in feeds.values()}
    if len(rows) > 1:
        raise RequestError(400, "the inputs differ in their number of rows")
    return rows.pop()


def _takes(specs: Mapping[str, TensorSpec]) -> str:
    return "the model takes " + ", ".join(repr(name[:128]) for name in list(specs)[:16])


def _wrong_shape(spec: TensorSpec, shape: Sequence[int]) -> RequestError:
    return RequestError(
        400, f"input {spec.name!r}: shape {list(shape)[:16]} does not fit {spec.wire_shape}"
    )


def _out_of_range(spec: TensorSpec) -> RequestError:
    return RequestError(400, f"input {spec.name!r}: a value does not fit {spec.datatype}")


def json_name(kind: type) -> str:
    """A JSON type in words."""
    return _JSON_NAMES.get(kind, "a value")


_JSON_NAMES: dict[type, str] = {
    type(None): "null",
    bool: "a boolean",
    int: "an integer",
    float: "a number",
    str: "a string",
    list: "an array",
    dict: "an object",
}
