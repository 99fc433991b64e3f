"""Open Inference Protocol v2 over REST: an inference read and its answer written.

The way of a small JSON request is as short as Python allows; `plan.py` holds what is prepared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from inference_server.errors import RequestError
from inference_server.inference.call import Answer, Call
from inference_server.models.model import Model
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.binary import read_tensor
from inference_server.protocol.content_type import require_binary, require_json
from inference_server.protocol.json_body import load_object, require_unique_keys
from inference_server.protocol.parameters import binary_size, read_parameters, schedule
from inference_server.protocol.plan import Plan, plan_of
from inference_server.protocol.tensors import (
    check_names,
    check_shape,
    count_rows,
    to_tensor,
)
from inference_server.protocol.v2_answer import write_answer
from inference_server.protocol.v2_binary import HEADER_LENGTH, Tail, header_length, read_raw

_MAX_RANK = 32
_INTEGERS = frozenset({int})
_NO_NAMES: frozenset[str] = frozenset()


class V2Request:
    """A request that fits the model, and how its answer is to be written."""

    __slots__ = ("_binary", "_id", "_outputs", "_plan", "feeds", "rows")

    def __init__(
        self,
        plan: Plan,
        feeds: Mapping[str, Tensor],
        outputs: Sequence[str],
        binary: frozenset[str],
        identity: str | None,
    ) -> None:
        self.feeds = feeds
        self.rows = count_rows(feeds, plan.batchable)
        self._plan = plan
        self._outputs = outputs
        self._binary = binary
        self._id = identity

    def write(self, outputs: Mapping[str, Tensor]) -> Answer:
        """The answer as JSON, followed by the outputs that were asked for as binary data."""
        return write_answer(self._plan, self._id, self._outputs, self._binary, outputs)


def read(call: Call, model: Model) -> V2Request:
    """Check a request against the protocol and the model's signature.

    Raises RequestError (400, 415) that says what is wrong.
    """
    plan = plan_of(model)
    length = call.headers.get(HEADER_LENGTH)
    body = call.body
    if length is None:
        require_json(call.headers)
        return _read(call, load_object(body), body, plan, None)
    require_binary(call.headers)
    tail = call.tail
    if tail is None:
        size = header_length(length, len(body))
        body, tail = body[:size], memoryview(body)[size:]
    if not body:
        return V2Request(plan, read_raw(tail, plan), plan.output_names, plan.all_binary, None)
    return _read(call, load_object(body), body, plan, Tail(tail))


def _read(
    call: Call, content: dict[str, Any], body: bytes, plan: Plan, tail: Tail | None
) -> V2Request:
    identity = content.get("id")
    if identity is not None and type(identity) is not str:
        raise RequestError(400, "'id' is no string")
    parameters = read_parameters(content, "request")
    if parameters:
        schedule(call, parameters)
    inputs = _objects(content, "inputs")
    pairs = len(content) + len(parameters)
    feeds: dict[str, Tensor] = {}
    sizes: dict[str, int] = {}
    _check_inputs(inputs, plan)
    for item in inputs:
        spec = plan.inputs[item["name"]]
        given = read_parameters(item, spec.name)
        shape = _shape(spec, item, sizes, plan)
        feeds[spec.name] = _tensor(spec, item, shape, binary_size(given, spec.name), body, tail)
        pairs += len(item) + len(given)
    if tail is not None:
        tail.require_end()
    everything = parameters.get("binary_data_output", False)
    names: Sequence[str] = plan.output_names
    binary = plan.all_binary if everything else _NO_NAMES
    if "outputs" in content:
        names, binary, more = _outputs(content, plan, everything)
        pairs += more
    require_unique_keys(body, content, pairs)
    return V2Request(plan, feeds, names, binary, identity)


def _check_inputs(inputs: list[dict[str, Any]], plan: Plan) -> None:
    if len(inputs) != 1 or plan.single is None or inputs[0]["name"] != plan.single.name:
        check_names([item["name"] for item in inputs], plan.inputs)


def _objects(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = content.get(key)
    if type(items) is not list:
        raise RequestError(400, f"{key!r} is missing or no array")
    for item in items:
        if type(item) is not dict or type(item.get("name")) is not str:
            raise RequestError(400, f"an element of {key!r} is no object with a 'name'")
    return items


def _shape(
    spec: TensorSpec, item: Mapping[str, Any], sizes: dict[str, int], plan: Plan
) -> tuple[int, ...]:
    """The shape of an input, if it fits the signature and the inputs before it."""
    given = item.get("shape")
    if type(given) is not list or len(given) > _MAX_RANK:
        raise RequestError(400, f"input {spec.name!r}: 'shape' is missing or no array of sizes")
    shape = tuple(given)
    if not _INTEGERS.issuperset(map(type, given)):
        raise _no_size(spec)
    if shape in plan.accepted:
        return shape
    if any(size < 1 for size in given):
        raise _no_size(spec)
    check_shape(spec, shape, sizes)
    if plan.single is not None:
        plan.accept(shape)
    return shape


def _no_size(spec: TensorSpec) -> RequestError:
    return RequestError(400, f"input {spec.name!r}: a size in 'shape' is no positive integer")


def _tensor(
    spec: TensorSpec,
    item: Mapping[str, Any],
    shape: tuple[int, ...],
    size: int | None,
    body: bytes,
    tail: Tail | None,
) -> Tensor:
    if item.get("datatype") != spec.datatype:
        raise RequestError(
            400,
            f"input {spec.name!r}: datatype {str(item.get('datatype'))[:16]!r}, "
            f"expected {spec.datatype!r}",
        )
    if size is None:
        return to_tensor(spec, item.get("data"), shape, body)
    if "data" in item:
        raise RequestError(400, f"input {spec.name!r}: both 'data' and 'binary_data_size'")
    if tail is None:
        raise RequestError(
            400,
            f"input {spec.name!r}: 'binary_data_size', "
            "but the request has no header Inference-Header-Content-Length",
        )
    return read_tensor(spec, tail.take(spec.name, size), shape)


def _outputs(
    content: Mapping[str, Any], plan: Plan, everything: bool
) -> tuple[Sequence[str], frozenset[str], int]:
    """Outputs asked for, which of them as binary data, and how many pairs said so."""
    if content["outputs"] in ([], None):
        return plan.output_names, plan.all_binary if everything else _NO_NAMES, 0
    names: list[str] = []
    binary: set[str] = set()
    pairs = 0
    for item in _objects(content, "outputs"):
        name = item["name"]
        if name not in plan.outputs:
            raise RequestError(400, f"unknown output {name[:128]!r}")
        if name in names:
            raise RequestError(400, "an output is asked for twice")
        given = read_parameters(item, name)
        if given.get("binary_data", everything):
            binary.add(name)
        names.append(name)
        pairs += len(item) + len(given)
    return names, frozenset(binary), pairs
