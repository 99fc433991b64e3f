"""Rows and named columns to feeds: what `/predict` and `/v1` take."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from inference_server.errors import RequestError
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.plan import Plan
from inference_server.protocol.tensors import check_names, check_shape, to_tensor

_MAX_RANK = 32


def read_instances(instances: Any, plan: Plan, body: bytes) -> dict[str, Tensor]:
    """Feeds from rows, each an array or an object by name; raises RequestError (400)."""
    if type(instances) is not list or not instances:
        raise RequestError(400, "'instances' is no array of rows")
    if type(instances[0]) is dict and all(type(row) is dict for row in instances):
        names = instances[0].keys()
        if any(row.keys() != names for row in instances):
            raise RequestError(400, "the rows of 'instances' do not have the same names")
        return read_columns({name: [row[name] for row in instances] for name in names}, plan, body)
    if plan.single is None:
        raise RequestError(400, "the model has several inputs: name them in each row")
    return {plan.single.name: _tensor(plan.single, instances, {}, body)}


def read_columns(columns: Any, plan: Plan, body: bytes) -> dict[str, Tensor]:
    """Feeds from arrays by name: of features, or of the model's inputs; raises RequestError."""
    if type(columns) is not dict or not all(type(each) is list for each in columns.values()):
        raise RequestError(400, "'columns' is no object of arrays")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        raise RequestError(400, "the columns differ in length")
    features = plan.features
    if not features:
        return read_inputs(columns, plan, body)
    for name in columns:
        if name not in features:
            raise RequestError(400, f"unknown column {name[:128]!r}")
    if missing := [name for name in features if name not in columns]:
        raise RequestError(400, f"column {missing[0][:128]!r} is missing")
    rows = [list(row) for row in zip(*(columns[name] for name in features), strict=True)]
    return read_inputs({next(iter(plan.inputs)): rows}, plan, body)


def read_inputs(inputs: Mapping[str, Any], plan: Plan, body: bytes) -> dict[str, Tensor]:
    """Feeds from nested arrays by the names of the model's inputs; raises RequestError (400)."""
    check_names(list(inputs), plan.inputs)
    sizes: dict[str, int] = {}
    return {name: _tensor(plan.inputs[name], rows, sizes, body) for name, rows in inputs.items()}


def _tensor(spec: TensorSpec, rows: Any, sizes: dict[str, int], body: bytes) -> Tensor:
    shape = _shape_of(rows)
    if len(shape) == 1 and len(spec.shape) == 2 and spec.shape[1] == 1:
        shape = [*shape, 1]  # a column of scalars for an input of [N, 1]
        rows = [[value] for value in rows]
    if 0 in shape:
        raise RequestError(400, f"input {spec.name!r}: an empty array")
    check_shape(spec, shape, sizes)
    return to_tensor(spec, rows, shape, body)


def _shape_of(rows: Any) -> list[int]:
    shape: list[int] = []
    while type(rows) is list and len(shape) < _MAX_RANK:
        shape.append(len(rows))
        rows = rows[0] if rows else None
    return shape
