"""`/predict`: rows or named columns in, predictions, classes and probabilities out."""

from collections.abc import Mapping, Sequence
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from inference_server.errors import RequestError
from inference_server.models.model import Model
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.tensors import check_names, check_shape, flatten, to_tensor
from inference_server.protocol.v2 import json_response
from inference_server.state import State
from inference_server.transport.body import read_object

_FORM = 'send {"instances": [row, ...]} or {"columns": {name: [value, ...], ...}}'


async def predict(request: Request) -> Response:
    """Predict plain rows with the only model, or with the one named by ?model= and ?version=."""
    state: State = request.app.state.server
    name, version = request.query_params.get("model"), request.query_params.get("version")
    model = state.catalog.model(name, version) if name else state.catalog.only_model(version)
    content = await read_object(request, state.settings.max_body_bytes)
    outputs = await state.scheduler.run(model, read_rows(content, model))
    return json_response(answer(model, outputs), version=model.version)


def read_rows(content: Mapping[str, Any], model: Model) -> dict[str, Tensor]:
    """Feeds of the model from `instances` or `columns`; raises RequestError (400)."""
    if set(content) == {"instances"}:
        return _from_instances(content["instances"], model)
    if set(content) == {"columns"}:
        return _from_columns(content["columns"], model)
    raise RequestError(400, _FORM)


def _from_instances(instances: Any, model: Model) -> dict[str, Tensor]:
    if not isinstance(instances, list) or not instances:
        raise RequestError(400, f"'instances' is no array of rows; {_FORM}")
    if all(type(row) is dict for row in instances):
        names = list(instances[0])
        if any(row.keys() != instances[0].keys() for row in instances):
            raise RequestError(400, "the rows of 'instances' do not have the same names")
        return _from_columns({name: [row[name] for row in instances] for name in names}, model)
    if len(model.inputs) != 1:
        raise RequestError(400, "the model has several inputs: name them in each row")
    return _feed({next(iter(model.inputs)): instances}, model)


def _from_columns(columns: Any, model: Model) -> dict[str, Tensor]:
    if not isinstance(columns, dict) or not all(type(each) is list for each in columns.values()):
        raise RequestError(400, f"'columns' is no object of arrays; {_FORM}")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise RequestError(400, "the columns differ in length")
    features = _features(model)
    if not features:
        return _feed(columns, model)
    for name in columns:
        if name not in features:
            raise RequestError(400, f"unknown column {name[:128]!r}")
    if missing := [name for name in features if name not in columns]:
        raise RequestError(400, f"column {missing[0]!r} is missing")
    rows = [list(row) for row in zip(*(columns[name] for name in features), strict=True)]
    return _feed({next(iter(model.inputs)): rows}, model)


def _features(model: Model) -> Sequence[str]:
    """Names of the columns of a single [N, features] input, if the model says them."""
    names = model.contract.feature_names
    shapes = [spec.shape for spec in model.inputs.values()]
    if len(shapes) == 1 and len(shapes[0]) == 2 and shapes[0][1] in (len(names), None):
        return names
    return ()


def _feed(columns: Mapping[str, list[Any]], model: Model) -> dict[str, Tensor]:
    check_names(list(columns), model.inputs)
    sizes: dict[str, int] = {}
    return {name: _tensor(model.inputs[name], rows, sizes) for name, rows in columns.items()}


def _tensor(spec: TensorSpec, rows: list[Any], sizes: dict[str, int]) -> Tensor:
    shape = _shape_of(rows)
    if len(shape) == 1 and len(spec.shape) == 2 and spec.shape[1] == 1:
        shape = [*shape, 1]  # a column of scalars for an input of [N, 1]
        rows = [[value] for value in rows]
    if 0 in shape:
        raise RequestError(400, f"input {spec.name!r}: an empty array")
    check_shape(spec, shape, sizes)
    return to_tensor(spec, flatten(spec.name, rows, shape), shape)


def _shape_of(rows: Any) -> list[int]:
    shape = []
    while isinstance(rows, list):
        shape.append(len(rows))
        rows = rows[0] if rows else None
    return shape


def answer(model: Model, outputs: Mapping[str, Tensor]) -> dict[str, Any]:
    """The plain answer: one prediction per row, with class names and probabilities if known."""
    contract = model.contract
    main = contract.class_output or next(iter(model.outputs))
    predictions = outputs[main].tolist()
    content: dict[str, Any] = {
        "model": model.name,
        "model_version": str(model.version),
        "predictions": predictions,
    }
    if contract.class_output and contract.class_names:
        content["classes"] = [_class_name(contract.class_names, label) for label in predictions]
    if contract.score_output:
        content["probabilities"] = outputs[contract.score_output].tolist()
    return content


def _class_name(names: Sequence[str], label: Any) -> str | None:
    known = isinstance(label, int) and 0 <= label < len(names)
    return names[label] if known else None
