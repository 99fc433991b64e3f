"""Open Inference Protocol v2 over REST: metadata and inference with JSON tensors."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson
from starlette.requests import Request
from starlette.responses import Response

from inference_server import __version__
from inference_server.errors import RequestError
from inference_server.models.model import Model
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.protocol.tensors import check_names, check_shape, flatten, to_tensor
from inference_server.state import State
from inference_server.transport.body import read_object

_MAX_RANK = 32


@dataclass(frozen=True)
class InferenceRequest:
    """A validated request: what to feed the model and what to answer with."""

    feeds: Mapping[str, Tensor]
    outputs: list[str]
    id: str | None


def json_response(content: Any, status: int = 200, version: int | None = None) -> Response:
    """A JSON response; arrays are written as they are, NaN and infinities as null."""
    headers = None if version is None else {"X-Model-Version": str(version)}
    body = orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)
    return Response(body, status, headers, "application/json")


async def server_metadata(_: Request) -> Response:
    """Name, version and protocol extensions of the server."""
    return json_response({"name": "inference-server", "version": __version__, "extensions": []})


async def model_metadata(request: Request) -> Response:
    """Signature of a model version."""
    state: State = request.app.state.server
    name, version = request.path_params["model"], request.path_params.get("version")
    model = state.catalog.model(name, version)
    return json_response(
        {
            "name": name,
            "versions": [str(number) for number in state.catalog.versions(name)],
            "platform": "onnxruntime_onnx",
            "inputs": [_describe(spec) for spec in model.inputs.values()],
            "outputs": [_describe(spec) for spec in model.outputs.values()],
        },
        version=model.version,
    )


async def model_ready(request: Request) -> Response:
    """Whether a model version can answer."""
    state: State = request.app.state.server
    name, version = request.path_params["model"], request.path_params.get("version")
    entry = state.catalog.entry(name, version)
    ready = entry.state == "ready" and not state.draining
    return json_response({"name": name, "ready": ready}, 200 if ready else 503)


async def infer(request: Request) -> Response:
    """Run a model version on JSON tensors."""
    state: State = request.app.state.server
    model = state.catalog.model(request.path_params["model"], request.path_params.get("version"))
    asked = read_request(await read_object(request, state.settings.max_body_bytes), model)
    outputs = await state.scheduler.run(model, asked.feeds)
    content: dict[str, Any] = {"model_name": model.name, "model_version": str(model.version)}
    if asked.id is not None:
        content["id"] = asked.id
    content["outputs"] = [_write(model.outputs[name], outputs[name]) for name in asked.outputs]
    return json_response(content, version=model.version)


def read_request(content: Mapping[str, Any], model: Model) -> InferenceRequest:
    """Check a request against the protocol and the model's signature.

    Raises RequestError (400) that says what is wrong.
    """
    identity = content.get("id")
    if identity is not None and not isinstance(identity, str):
        raise RequestError(400, "'id' is no string")
    _no_binary(content, "request")
    inputs = _objects(content, "inputs")
    check_names([item["name"] for item in inputs], model.inputs)
    sizes: dict[str, int] = {}
    feeds = {item["name"]: _read_input(model.inputs[item["name"]], item, sizes) for item in inputs}
    return InferenceRequest(feeds, _wanted(content, model), identity)


def _objects(content: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    items = content.get(key)
    if not isinstance(items, list):
        raise RequestError(400, f"{key!r} is missing or no array")
    for item in items:
        if not isinstance(item, dict) or not isinstance(item.get("name"), str):
            raise RequestError(400, f"an element of {key!r} is no object with a 'name'")
        _no_binary(item, item["name"][:128])
    return items


def _no_binary(item: Mapping[str, Any], where: str) -> None:
    parameters = item.get("parameters")
    if parameters is None:
        return
    if not isinstance(parameters, dict):
        raise RequestError(400, f"{where!r}: 'parameters' is no object")
    asked = ("binary_data_size", "binary_data", "binary_data_output")
    if any(parameters.get(name) for name in asked):
        raise RequestError(400, f"{where!r}: binary tensors are not supported; use JSON")


def _read_input(spec: TensorSpec, item: Mapping[str, Any], sizes: dict[str, int]) -> Tensor:
    if item.get("datatype") != spec.datatype:
        raise RequestError(
            400,
            f"input {spec.name!r}: datatype {str(item.get('datatype'))[:16]!r}, "
            f"expected {spec.datatype!r}",
        )
    shape = item.get("shape")
    if not isinstance(shape, list) or len(shape) > _MAX_RANK:
        raise RequestError(400, f"input {spec.name!r}: 'shape' is missing or no array of sizes")
    if not all(type(size) is int and size > 0 for size in shape):
        raise RequestError(400, f"input {spec.name!r}: a size in 'shape' is no positive integer")
    check_shape(spec, shape, sizes)
    return to_tensor(spec, flatten(spec.name, item.get("data"), shape), shape)


def _wanted(content: Mapping[str, Any], model: Model) -> list[str]:
    if not content.get("outputs"):
        if content.get("outputs", []) not in ([], None):
            raise RequestError(400, "'outputs' is no array")
        return list(model.outputs)
    names = [item["name"] for item in _objects(content, "outputs")]
    for name in names:
        if name not in model.outputs:
            raise RequestError(400, f"unknown output {name[:128]!r}")
    if len(set(names)) != len(names):
        raise RequestError(400, "an output is asked for twice")
    return names


def _describe(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.wire_shape}


def _write(spec: TensorSpec, tensor: Tensor) -> dict[str, Any]:
    flat = tensor.ravel()
    return {
        "name": spec.name,
        "datatype": spec.datatype,
        "shape": list(tensor.shape),
        "data": flat.tolist() if spec.datatype == "BYTES" else np.ascontiguousarray(flat),
    }
