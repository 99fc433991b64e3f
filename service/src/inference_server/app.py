"""Puts the parts together: routes, error forms, loading and draining."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

from inference_server import __version__
from inference_server.drain import Drain
from inference_server.errors import RequestError, error_response
from inference_server.models.catalog import Catalog
from inference_server.models.model import Hardware, InferenceError
from inference_server.models.quota import cpu_quota
from inference_server.observability.metrics import Metrics
from inference_server.protocol import operations, predict, v2
from inference_server.reload import Reload
from inference_server.scheduling.scheduler import Scheduler
from inference_server.security.keys import read_keys
from inference_server.settings import Settings
from inference_server.state import State
from inference_server.supervisor.place import here
from inference_server.transport.documentation import openapi
from inference_server.transport.observer import Observer

Endpoint = Callable[[Request], Awaitable[Response]]

# Hot paths first: routes are tried in this order.
ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/v2/models/{model}/infer", v2.infer),
    ("POST", "/predict", predict.predict),
    ("POST", "/v2/models/{model}/versions/{version}/infer", v2.infer),
    ("GET", "/v2/health/live", operations.live),
    ("GET", "/v2/health/ready", operations.v2_ready),
    ("GET", "/health", operations.ready),
    ("GET", "/health/live", operations.live),
    ("GET", "/health/ready", operations.ready),
    ("GET", "/metrics", operations.metrics),
    ("GET", "/info", operations.info),
    ("GET", "/v2", v2.server_metadata),
    ("GET", "/v2/models/{model}", v2.model_metadata),
    ("GET", "/v2/models/{model}/ready", v2.model_ready),
    ("GET", "/v2/models/{model}/versions/{version}", v2.model_metadata),
    ("GET", "/v2/models/{model}/versions/{version}/ready", v2.model_ready),
)

_log = logging.getLogger(__name__)


def create_app(settings: Settings) -> ASGIApp:
    """The ASGI application of one process; models load after it has started."""
    state = _make_state(settings)
    app = FastAPI(title="inference-server", version=__version__, lifespan=_lifespan)
    app.state.server = state
    for method, path, endpoint in ROUTES:
        app.add_route(path, endpoint, methods=[method])
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(HTTPException, _no_such_route)
    app.add_exception_handler(InferenceError, _failed)
    app.add_exception_handler(Exception, _broken)
    keys = None
    if settings.api_key_hashes_file is not None:
        keys = read_keys(settings.api_key_hashes_file)
    return Observer(app, state, keys)


def _make_state(settings: Settings) -> State:
    metrics = Metrics()
    threads = settings.intra_op_threads or max(1, cpu_quota() // settings.workers)
    hardware = Hardware(settings.require_gpu, threads)
    catalog = Catalog(settings.model_repository, hardware, metrics)
    if settings.model_name and settings.model_version and settings.model_sha256:
        catalog.expect(settings.model_name, settings.model_version, settings.model_sha256)
    scheduler = Scheduler(
        settings.inference_threads, settings.max_in_flight, catalog.names, metrics
    )
    return State(settings, metrics, catalog, scheduler)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: State = app.state.server
    loading = asyncio.create_task(asyncio.to_thread(state.catalog.load))
    loading.add_done_callback(lambda _: here().settle())
    with Drain(state), Reload(state.settings, state.on_reload):
        yield
    await loading
    state.scheduler.close()


async def _refused(request: Request, error: Any) -> Response:
    return error_response(request.url.path, error.status, error.message, error.headers)


async def _no_such_route(request: Request, error: Any) -> Response:
    return error_response(request.url.path, error.status_code, str(error.detail), error.headers)


async def _failed(request: Request, error: Any) -> Response:
    _log.error("inference failed", extra={"reason": str(error)})
    return error_response(request.url.path, 500, "the model failed on this input")


async def _broken(request: Request, _: Any) -> Response:
    return error_response(request.url.path, 500, "internal error")
