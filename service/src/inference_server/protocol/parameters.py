"""The `parameters` objects of a v2 request: what is understood, refused, and let pass."""

from typing import Any

from inference_server.errors import RequestError
from inference_server.inference.call import Call

_NONE: dict[str, Any] = {}
_BOOLEANS = frozenset({"binary_data", "binary_data_output", "sequence_start", "sequence_end"})
# Each would be a wrong answer if it were ignored; false, 0 and "" ask for nothing.
_REFUSED = {
    "sequence_id": "sequences are not supported",
    "sequence_start": "sequences are not supported",
    "sequence_end": "sequences are not supported",
    "classification": "the classification extension is not supported",
    "shared_memory_region": "shared memory is not supported",
}
_SCALARS = frozenset({str, int, float, bool})


def read_parameters(item: dict[str, Any], where: str) -> dict[str, Any]:
    """The `parameters` of a request, an input or an output; raises RequestError (400).

    Unknown names pass, as the protocol leaves them to whoever understands them.
    """
    given = item.get("parameters")
    if given is None:
        return _NONE
    if type(given) is not dict:
        raise RequestError(400, f"{where!r}: 'parameters' is no object")
    for name, value in given.items():
        if type(value) not in _SCALARS:
            raise RequestError(
                400, f"{where!r}: parameter {name[:128]!r} is no string, number or boolean"
            )
        if name in _BOOLEANS and type(value) is not bool:
            raise RequestError(400, f"{where!r}: parameter {name!r} is no boolean")
        if value and name in _REFUSED:
            raise RequestError(400, f"{where!r}: {_REFUSED[name]} (parameter {name!r})")
    return given


def binary_size(parameters: dict[str, Any], where: str) -> int | None:
    """Bytes of an input's binary data, None for data in JSON; raises RequestError (400)."""
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise RequestError(400, f"{where!r}: 'binary_data_size' is no size in bytes")
    return size


def schedule(call: Call, parameters: dict[str, Any]) -> None:
    """Give the call the `priority` and `timeout` of its parameters; raises RequestError (400).

    As Triton has them: 1 is the first priority, 0 the default; the timeout is in microseconds, 0
    none.
    """
    if (priority := _count(parameters, "priority")) > 1:
        call.priority = priority - 1
    if timeout := _count(parameters, "timeout"):
        call.timeout = timeout / 1e6


def _count(parameters: dict[str, Any], name: str) -> int:
    value = parameters.get(name, 0)
    if type(value) is not int or value < 0:
        raise RequestError(400, f"'request': parameter {name!r} is no count")
    return value
