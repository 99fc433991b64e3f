"""`/v1/models/{model}:predict`: the protocol of TensorFlow Serving and of KServe's v1."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from inference_server.errors import RequestError
from inference_server.inference.call import Answer, Call
from inference_server.models.model import Model
from inference_server.models.signature import Tensor
from inference_server.protocol.content_type import require_json
from inference_server.protocol.json_body import load_object, require_unique_keys
from inference_server.protocol.plan import Plan, plan_of
from inference_server.protocol.rows import read_inputs, read_instances
from inference_server.protocol.tensors import count_rows
from inference_server.protocol.v2_answer import nested_text

_FORM = 'send {"instances": [row, ...]} or {"inputs": {name: tensor, ...}}'
_KNOWN = frozenset({"instances", "inputs", "signature_name"})


class V1Request:
    """Rows, answered row by row, or whole inputs, answered as whole outputs."""

    __slots__ = ("_by_row", "_plan", "feeds", "rows")

    def __init__(self, plan: Plan, feeds: Mapping[str, Tensor], by_row: bool) -> None:
        self.feeds = feeds
        self.rows = count_rows(feeds, plan.batchable)
        self._plan = plan
        self._by_row = by_row

    def write(self, outputs: Mapping[str, Tensor]) -> Answer:
        """`predictions`, one for each row, or `outputs`; by name where there are several."""
        plan = self._plan
        if len(plan.outputs) == 1:
            (name,) = plan.output_names
            key = b'{"predictions":' if self._by_row else b'{"outputs":'
            text = nested_text(plan.outputs[name].datatype, outputs[name])
            return Answer(200, plan.headers, key + text + b"}")
        if self._by_row and _same_rows(outputs):
            return Answer(200, plan.headers, _rows_text(plan, outputs))
        texts = [
            orjson.dumps(name) + b":" + nested_text(plan.outputs[name].datatype, outputs[name])
            for name in plan.output_names
        ]
        return Answer(200, plan.headers, b'{"outputs":{' + b",".join(texts) + b"}}")


def read(call: Call, model: Model) -> V1Request:
    """Check instances or inputs against the model's signature.

    Raises RequestError (400, 415) that says what is wrong.
    """
    require_json(call.headers)
    content = load_object(call.body)
    plan = plan_of(model)
    by_row = "instances" in content
    if by_row == ("inputs" in content) or not content.keys() <= _KNOWN:
        raise RequestError(400, _FORM)
    signature = content.get("signature_name", "serving_default")
    if signature != "serving_default":
        raise RequestError(400, "the only 'signature_name' is 'serving_default'")
    if by_row:
        feeds = read_instances(content["instances"], plan, call.body)
    else:
        feeds = read_inputs(_by_name(content["inputs"], plan), plan, call.body)
    require_unique_keys(call.body, content, len(content))
    return V1Request(plan, feeds, by_row)


def _by_name(inputs: Any, plan: Plan) -> Mapping[str, Any]:
    if type(inputs) is dict:
        return inputs
    if plan.single is None:
        raise RequestError(400, "the model has several inputs: name them in 'inputs'")
    return {plan.single.name: inputs}


def _same_rows(outputs: Mapping[str, Tensor]) -> bool:
    return len({tensor.shape[:1] for tensor in outputs.values()}) == 1 and all(
        tensor.ndim for tensor in outputs.values()
    )


def _rows_text(plan: Plan, outputs: Mapping[str, Tensor]) -> bytes:
    """The rows as objects by output; parsed once so that a float32 is written as its own."""
    columns = [
        orjson.loads(nested_text(plan.outputs[name].datatype, outputs[name]))
        for name in plan.output_names
    ]
    rows = [dict(zip(plan.output_names, row, strict=True)) for row in zip(*columns, strict=True)]
    return orjson.dumps({"predictions": rows})
