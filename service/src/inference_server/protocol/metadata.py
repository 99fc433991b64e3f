"""Who the server is, what its models take and give, and which of them can answer."""

from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from inference_server import __version__
from inference_server.errors import RequestError
from inference_server.models.catalog import Entry
from inference_server.models.catalog import State as ModelState
from inference_server.models.model import Model
from inference_server.models.signature import TensorSpec
from inference_server.protocol.responses import json_response
from inference_server.state import State

PLATFORM = "onnxruntime_onnx"
EXTENSIONS = ("binary_tensor_data", "model_repository", "model_configuration", "statistics")


async def server_metadata(_: Request) -> Response:
    """Name, version and protocol extensions of the server."""
    return json_response(
        {"name": "inference-server", "version": __version__, "extensions": EXTENSIONS}
    )


async def model_metadata(request: Request) -> Response:
    """Signature of a model version."""
    state: State = request.app.state.server
    name = request.path_params["model"]
    model = loaded(find_entry(request))
    return json_response(
        {
            "name": name,
            "versions": [str(number) for number in state.catalog.versions(name)],
            "platform": PLATFORM,
            "inputs": [describe(spec) for spec in model.inputs.values()],
            "outputs": [describe(spec) for spec in model.outputs.values()],
            "parameters": _parameters(model),
        },
        version=model.version,
    )


async def model_ready(request: Request) -> Response:
    """Whether a model version can answer."""
    state: State = request.app.state.server
    ready = find_entry(request).state is ModelState.READY and not state.draining
    content = {"name": request.path_params["model"], "ready": ready}
    return json_response(content, 200 if ready else 503)


def find_entry(request: Request) -> Entry:
    """The model version that a path names; raises RequestError (404)."""
    state: State = request.app.state.server
    return state.catalog.entry(request.path_params["model"], request.path_params.get("version"))


def loaded(entry: Entry) -> Model:
    """The model in memory; raises RequestError (503) where there is none."""
    if entry.model is None:
        message = f"model {entry.file.name!r} version {entry.file.version} is not ready"
        raise RequestError(503, message, {"Retry-After": "5"})
    return entry.model


def describe(spec: TensorSpec) -> dict[str, Any]:
    """A tensor as the protocol writes it."""
    return {"name": spec.name, "datatype": spec.datatype, "shape": spec.wire_shape}


def _parameters(model: Model) -> dict[str, str]:
    """What the protocol has no field for; its parameters are text."""
    return {
        "sha256": model.sha256,
        "framework": model.contract.framework,
        "provider": model.provider,
        "device": model.device,
    }
