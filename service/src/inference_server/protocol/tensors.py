"""JSON values to tensors: nothing is converted that the sender did not say."""

from collections.abc import Mapping, Sequence
from itertools import chain
from typing import Any

import numpy as np

from inference_server.errors import RequestError
from inference_server.models.signature import Tensor, TensorSpec

_KINDS: dict[str, frozenset[type]] = {
    "b": frozenset({bool}),
    "i": frozenset({int}),
    "u": frozenset({int}),
    "f": frozenset({int, float}),
    "O": frozenset({str}),
}


def to_tensor(spec: TensorSpec, values: Sequence[Any], shape: Sequence[int]) -> Tensor:
    """A tensor of this shape from a flat list of JSON values; raises RequestError (400)."""
    dtype = np.dtype(spec.dtype)
    kinds = set(map(type, values))
    if not kinds <= _KINDS[dtype.kind]:
        wrong = sorted(_json_name(kind) for kind in kinds - _KINDS[dtype.kind])
        raise RequestError(
            400, f"input {spec.name!r}: {wrong[0]} in the data, expected {spec.datatype}"
        )
    try:
        with np.errstate(over="ignore"):
            tensor = np.array(values, dtype=dtype)
    except OverflowError:
        raise _out_of_range(spec) from None
    if dtype.kind == "f" and not np.isfinite(tensor).all():
        raise _out_of_range(spec)
    return tensor.reshape(shape)


def flatten(name: str, data: Any, shape: Sequence[int]) -> list[Any]:
    """The values of a flat or nested list as a flat one, if it fits the shape.

    Raises RequestError (400) for ragged lists and for a wrong number of values.
    """
    if not isinstance(data, list):
        raise RequestError(400, f"input {name!r}: 'data' is {_json_name(type(data))}, not an array")
    expected = 1
    for size in shape:
        expected *= size
    flat = data
    if data and isinstance(data[0], list):
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


def _takes(specs: Mapping[str, TensorSpec]) -> str:
    return "the model takes " + ", ".join(repr(name) for name in specs)


def _wrong_shape(spec: TensorSpec, shape: Sequence[int]) -> RequestError:
    return RequestError(
        400, f"input {spec.name!r}: shape {list(shape)[:16]} does not fit {spec.wire_shape}"
    )


def _out_of_range(spec: TensorSpec) -> RequestError:
    return RequestError(400, f"input {spec.name!r}: a value does not fit {spec.datatype}")


def _json_name(kind: type) -> str:
    names = {
        type(None): "null",
        bool: "a boolean",
        int: "an integer",
        float: "a number",
        str: "a string",
        list: "an array",
        dict: "an object",
    }
    return names.get(kind, "a value")
