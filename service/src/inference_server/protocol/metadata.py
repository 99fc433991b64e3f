"""Who the server is, what its models take and give, and which of them can answer."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from inference_server import __version__
from inference_server.models.signature import TensorSpec
from inference_server.protocol.responses import json_response
from inference_server.state import State

EXTENSIONS = ("binary_tensor_data",)


async def server_metadata(_: Request) -> Response:
    """Name, version and protocol extensions of the server."""
    return json_response(
        {"name": "inference-server", "version": __version__, "extensions": EXTENSIONS}
    )


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


def _describe(spec: TensorSpec) -> dict[str, Any]:
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.wire_shape}
