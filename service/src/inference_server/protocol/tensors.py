"""JSON values to tensors: nothing is converted that the sender did not say."""

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from math import prod
from typing import Any

import numpy as np

from inference_server.errors import RequestError
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.datatypes import DATATYPES, Datatype, packer, to_bfloat16

_LARGE = 4096
_SUSPECTS = 64
_LISTS = {list}


def to_tensor(spec: TensorSpec, data: Any, shape: Sequence[int], body: bytes) -> Tensor:
    """A tensor of this shape from a flat or nested JSON array that stood in `body`.

    Raises RequestError (400) where the array does not fit the shape, or a value the datatype.
    """
    datatype = DATATYPES[spec.datatype]
    if datatype.code is not None and type(data) is list and data:
        try:
            packed = _pack(datatype, datatype.code, data, shape, body)
        except (struct.error, OverflowError):
            packed = None  # what is wrong is found out below
        if packed is not None:
            return np.ndarray(shape, datatype.dtype, packed)
    return _to_tensor_strictly(spec, datatype, flatten(spec.name, data, shape), shape)


def _pack(
    datatype: Datatype, code: str, data: list[Any], shape: Sequence[int], body: bytes
) -> bytes | None:
    """The bytes of the values; None or an error of `packer` for what may be wrong with them."""
    if type(data[0]) is not list:
        packed = packer(code, prod(shape))(*data)
    elif (rows := _rows(data, shape)) is not None:
        pack = packer(code, shape[-1])
        packed = b"".join([pack(*row) for row in rows])
    else:
        return None
    if len(packed) > _LARGE:
        suspicious = _may_hold_booleans(body)
    else:
        suspicious = datatype.zero in packed or datatype.one in packed
    # The types decide, in the strict way.
    return None if suspicious and bool in map(type, _leaves(data)) else packed


def _leaves(data: list[Any]) -> Iterable[Any]:
    while type(data[0]) is list:
        data = list(chain.from_iterable(data))
    return data


def _rows(data: list[Any], shape: Sequence[int]) -> list[Any] | None:
    """The innermost arrays, if those around them are nested like the shape."""
    if len(shape) < 2 or len(data) != shape[0]:
        return None
    for size in shape[1:-1]:
        if set(map(type, data)) != _LISTS or set(map(len, data)) != {size}:
            return None
        data = list(chain.from_iterable(data))
    return data if set(map(type, data)) == _LISTS else None


def _may_hold_booleans(body: bytes) -> bool:
    """False only if nothing in the body is a boolean, which `packer` takes for a number.

    Searching a long body for two words takes a fiftieth of asking each value for its type.
    """
    return _may_hold(body, b"u", b"true") or _may_hold(body, b"l", b"false")


def _may_hold(body: bytes, letter: bytes, word: bytes) -> bool:
    """Whether a word, known by its third letter, stands in a text in which that is rare."""
    position = -1
    for _ in range(_SUSPECTS):
        position = body.find(letter, position + 1)  # one byte: the fastest search there is
        if position < 0:
            return False
        if body.startswith(word, position - 2):
            return True
    return True


def _to_tensor_strictly(
    spec: TensorSpec, datatype: Datatype, values: list[Any], shape: Sequence[int]
) -> Tensor:
    kinds = set(map(type, values))
    if not kinds <= datatype.json_types:
        wrong = sorted(json_name(kind) for kind in kinds - datatype.json_types)
        raise RequestError(
            400, f"input {spec.name!r}: {wrong[0]} in the data, expected {spec.datatype}"
        )
    try:
        return _convert(datatype, values).reshape(shape)
    except OverflowError:
        raise RequestError(
            400, f"input {spec.name!r}: a value does not fit {spec.datatype}"
        ) from None


def _convert(datatype: Datatype, values: Sequence[Any]) -> Tensor:
    """Values of the right JSON type as a flat tensor; raises OverflowError."""
    if datatype.name != "BF16":
        with np.errstate(over="ignore"):
            tensor = np.fromiter(values, datatype.dtype, len(values))
        if tensor.dtype.kind == "f" and not np.isfinite(tensor).all():
            raise OverflowError
        return tensor
    floats = np.frombuffer(packer("f", len(values))(*values), np.float32)
    bits = to_bfloat16(floats)
    if ((bits & 0x7F80) == 0x7F80).any():
        raise OverflowError
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
    rows = 0
    for tensor in feeds.values():
        if rows and rows != len(tensor):
            raise RequestError(400, "the inputs differ in their number of rows")
        rows = len(tensor)
    return rows


def _takes(specs: Mapping[str, TensorSpec]) -> str:
    return "the model takes " + ", ".join(repr(name[:128]) for name in list(specs)[:16])


def _wrong_shape(spec: TensorSpec, shape: Sequence[int]) -> RequestError:
    return RequestError(
        400, f"input {spec.name!r}: shape {list(shape)[:16]} does not fit {spec.wire_shape}"
    )


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
