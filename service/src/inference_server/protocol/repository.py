"""The model repository extension: what is there, what is loaded, and loading it by request."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import Response

from inference_server.errors import RequestError
from inference_server.models.catalog import Entry
from inference_server.models.catalog import State as ModelState
from inference_server.protocol.json_body import load_unique_object
from inference_server.protocol.responses import json_response
from inference_server.state import State
from inference_server.transport.body import read_decoded

_UNLOAD_PARAMETERS = {"unload_dependents": bool}


async def repository_index(request: Request) -> Response:
    """Every model version of the repository, or only the ready ones."""
    state: State = request.app.state.server
    content = await _read(request, {"ready"})
    only_ready = content.get("ready", False)
    if type(only_ready) is not bool:
        raise RequestError(400, "'ready' is no boolean")
    entries = state.catalog.entries
    return json_response(
        [_describe(entry) for entry in entries if entry.state is ModelState.READY or not only_ready]
    )


async def load_model(request: Request) -> Response:
    """Load a model, again where its file or config has changed."""
    state: State = request.app.state.server
    await _read_parameters(request, {})
    await state.catalog.load_model(request.path_params["model"])
    return json_response({})


async def unload_model(request: Request) -> Response:
    """Unload every version of a model; what it was asked before is answered."""
    state: State = request.app.state.server
    parameters = await _read_parameters(request, _UNLOAD_PARAMETERS)
    if parameters.get("unload_dependents"):
        raise RequestError(400, "unload_dependents is not supported: unload each model by its name")
    await state.catalog.unload_model(request.path_params["model"])
    return json_response({})


def _describe(entry: Entry) -> dict[str, Any]:
    """An entry in the protocol's words; a model that is not loaded is not listed as failed."""
    content = {
        "name": entry.file.name,
        "version": str(entry.file.version),
        "state": "UNAVAILABLE" if entry.state is ModelState.UNLOADED else entry.state.upper(),
    }
    reason = "unloaded" if entry.state is ModelState.UNLOADED else entry.reason
    return content | ({"reason": reason} if reason else {})


async def _read_parameters(request: Request, known: Mapping[str, type]) -> dict[str, Any]:
    """The parameters of a request; raises RequestError (400) for one that is not known."""
    content = await _read(request, {"parameters"})
    parameters = content.get("parameters", {})
    if type(parameters) is not dict:
        raise RequestError(400, "'parameters' is no object")
    for name, value in parameters.items():
        if name not in known:
            raise RequestError(400, f"parameter {name[:128]!r} is not supported")
        if type(value) is not known[name]:
            raise RequestError(400, f"parameter {name!r} is no {known[name].__name__}")
    return parameters


async def _read(request: Request, known: set[str]) -> dict[str, Any]:
    """The object in the body, {} for none; raises RequestError (400) for other keys."""
    state: State = request.app.state.server
    body = await read_decoded(request, state.fast_lane.body_limits)
    content = load_unique_object(body) if body.strip() else {}
    for key in content:
        if key not in known:
            raise RequestError(400, f"unknown key {key[:128]!r}")
    return content
