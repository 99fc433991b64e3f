"""`/predict`: rows or named columns in, predictions, classes and probabilities out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from inference_server.errors import RequestError
from inference_server.inference.call import Answer, Call
from inference_server.models.model import Model
from inference_server.models.signature import Tensor
from inference_server.protocol.content_type import require_json
from inference_server.protocol.json_body import load_object, require_unique_keys
from inference_server.protocol.plan import Plan, plan_of
from inference_server.protocol.rows import read_columns, read_instances
from inference_server.protocol.tensors import count_rows
from inference_server.protocol.v2_answer import nested_text

_FORM = 'send {"instances": [row, ...]}, {"instance": row} or {"columns": {name: [value, ...]}}'


class PredictRequest:
    """Rows that fit the model."""

    __slots__ = ("_plan", "feeds", "rows")

    def __init__(self, plan: Plan, feeds: Mapping[str, Tensor]) -> None:
        self.feeds = feeds
        self.rows = count_rows(feeds, plan.batchable)
        self._plan = plan

    def write(self, outputs: Mapping[str, Tensor]) -> Answer:
        """One prediction per row, with class names and probabilities where the model says them."""
        plan = self._plan
        contract = plan.contract
        main = contract.class_output or plan.output_names[0]
        predictions = outputs[main]
        parts = [plan.predict_start, nested_text(plan.outputs[main].datatype, predictions)]
        if contract.class_output and contract.class_names:
            names = [
                _class_name(contract.class_names, label) for label in predictions.ravel().tolist()
            ]
            parts += (b',"classes":', orjson.dumps(names))
        if score := contract.score_output:
            text = nested_text(plan.outputs[score].datatype, outputs[score])
            parts += (b',"probabilities":', text)
        parts.append(b"}")
        return Answer(200, plan.headers, b"".join(parts))


def read(call: Call, model: Model) -> PredictRequest:
    """Check rows or columns against the model's signature.

    Raises RequestError (400, 415) that says what is wrong.
    """
    require_json(call.headers)
    content = load_object(call.body)
    if len(content) != 1:
        raise RequestError(400, _FORM)
    plan = plan_of(model)
    feeds = _feeds(content, plan, call.body)
    require_unique_keys(call.body, content, 1)
    return PredictRequest(plan, feeds)


def _feeds(content: Mapping[str, Any], plan: Plan, body: bytes) -> dict[str, Tensor]:
    if "instances" in content:
        return read_instances(content["instances"], plan, body)
    if "instance" in content:
        return read_instances([content["instance"]], plan, body)
    if "columns" in content:
        return read_columns(content["columns"], plan, body)
    raise RequestError(400, _FORM)


def _class_name(names: Sequence[str], label: Any) -> str | None:
    known = isinstance(label, int) and 0 <= label < len(names)
    return names[label] if known else None
