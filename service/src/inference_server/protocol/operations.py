"""Endpoints for people, probes and Prometheus: health, info, metrics."""

import platform
from typing import Any

import onnxruntime as ort
from starlette.requests import Request
from starlette.responses import Response

from inference_server import __version__
from inference_server.models.catalog import Entry
from inference_server.models.catalog import State as ModelState
from inference_server.protocol.responses import json_response
from inference_server.state import State


async def live(_: Request) -> Response:
    """Whether the process answers at all."""
    return json_response({"live": True})


async def root(_: Request) -> Response:
    """Whether the process answers, as KServe's v1 clients ask."""
    return json_response({"status": "alive"})


async def v2_ready(request: Request) -> Response:
    """Whether traffic should be sent here."""
    state: State = request.app.state.server
    return json_response({"ready": state.ready}, 200 if state.ready else 503)


async def ready(request: Request) -> Response:
    """Whether traffic should be sent here, model by model, and why not."""
    state: State = request.app.state.server
    return json_response(readiness(state), 200 if state.ready else 503)


async def info(request: Request) -> Response:
    """Versions of the server and its runtime, and the models it serves."""
    state: State = request.app.state.server
    return json_response(
        {
            "name": "inference-server",
            "version": __version__,
            "python": platform.python_version(),
            "onnxruntime": ort.__version__,
            "providers_available": ort.get_available_providers(),
            "models": [_describe(entry) for entry in state.catalog.entries],
        }
    )


async def metrics(request: Request) -> Response:
    """Prometheus metrics of all workers."""
    state: State = request.app.state.server
    text, content_type = state.metrics.exposition(request.headers.get("accept", ""))
    return Response(text, headers={"Content-Type": content_type})


def readiness(state: State) -> dict[str, Any]:
    """The detail behind a readiness answer."""
    entries = state.catalog.entries
    reasons = list(state.catalog.problems)
    reasons += [
        f"{entry.file.name}/{entry.file.version}: {entry.reason or entry.state}"
        for entry in entries
        if entry.state is not ModelState.READY and not _may_be_absent(entry)
    ]
    if state.draining:
        reasons.append("draining: the server is about to stop")
    return {
        "ready": state.ready,
        "reasons": reasons,
        "gpu_required": state.settings.require_gpu,
        "models": [_describe(entry) for entry in entries],
    }


def _may_be_absent(entry: Entry) -> bool:
    """Whether a version that is not in memory keeps nobody from being served."""
    return entry.state is ModelState.UNLOADED and not entry.required


def _describe(entry: Entry) -> dict[str, Any]:
    model = entry.model
    return {
        "name": entry.file.name,
        "version": str(entry.file.version),
        "state": entry.state,
        "reason": entry.reason,
        "sha256": model.sha256 if model else None,
        "provider": model.provider if model else None,
        "device": model.device if model else None,
        "framework": model.contract.framework if model else None,
    }
