"""`/v1/models`: which models there are, as TensorFlow Serving and KServe's v1 say it."""

from starlette.requests import Request
from starlette.responses import Response

from inference_server.models.catalog import State as ModelState
from inference_server.protocol.metadata import find_entry
from inference_server.protocol.responses import json_response
from inference_server.state import State

_STATES = {
    ModelState.UNLOADED: "END",
    ModelState.LOADING: "LOADING",
    ModelState.READY: "AVAILABLE",
    ModelState.UNLOADING: "UNLOADING",
    ModelState.UNAVAILABLE: "END",
}


async def v1_models(request: Request) -> Response:
    """Names of the models."""
    state: State = request.app.state.server
    return json_response({"models": state.catalog.names})


async def v1_model(request: Request) -> Response:
    """Whether a model is ready, and the state of its versions."""
    state: State = request.app.state.server
    found = find_entry(request)
    named = "version" in request.path_params
    entries = [
        entry
        for entry in state.catalog.entries
        if entry is found or (not named and entry.file.name == found.file.name)
    ]
    statuses = [
        {
            "version": str(entry.file.version),
            "state": _STATES[entry.state],
            "status": {
                "error_code": "UNKNOWN" if entry.reason else "OK",
                "error_message": entry.reason or "",
            },
        }
        for entry in entries
    ]
    ready = found.state is ModelState.READY and not state.draining
    return json_response(
        {"name": request.path_params["model"], "ready": ready, "model_version_status": statuses},
        200 if ready else 503,
    )
