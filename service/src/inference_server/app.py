"""Puts the parts of one process together, and ends them in order."""

import asyncio
import gc
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from inference_server import __version__
from inference_server.drain import Drain
from inference_server.errors import RequestError, error_response
from inference_server.inference.pipeline import Pipeline
from inference_server.models.catalog import Catalog, Control, Lane
from inference_server.models.config import ModelConfig
from inference_server.models.hardware import Hardware
from inference_server.models.model import Model
from inference_server.models.quota import cpu_quota
from inference_server.observability import logs
from inference_server.observability.access import AccessLog
from inference_server.observability.metrics import Metrics
from inference_server.observability.prediction_log import PredictionLog
from inference_server.observability.traces import Tracer
from inference_server.protocol import (
    configuration,
    metadata,
    operations,
    repository,
    statistics,
    status_v1,
)
from inference_server.reload import Reload
from inference_server.scheduling.lanes import Scheduler
from inference_server.security.guard import Guard
from inference_server.security.headers import docs_headers, response_headers
from inference_server.settings import Settings
from inference_server.state import State
from inference_server.supervisor.place import here
from inference_server.transport.asgi import infer
from inference_server.transport.body import BodyLimits
from inference_server.transport.documentation import openapi
from inference_server.transport.lane import FastLane, Patience
from inference_server.transport.observer import Observer

Endpoint = Callable[[Request], Awaitable[Response]]

ROUTES: tuple[tuple[str, str, Endpoint], ...] = (
    ("POST", "/v2/models/{model}/infer", infer),
    ("POST", "/v2/models/{model}/versions/{version}/infer", infer),
    ("POST", "/v1/models/{model}:predict", infer),
    ("POST", "/v1/models/{model}/versions/{version}:predict", infer),
    ("POST", "/predict", infer),
    ("GET", "/", operations.root),
    ("GET", "/v2/health/live", operations.live),
    ("GET", "/v2/health/ready", operations.v2_ready),
    ("GET", "/health", operations.ready),
    ("GET", "/health/live", operations.live),
    ("GET", "/health/ready", operations.ready),
    ("GET", "/metrics", operations.metrics),
    ("GET", "/info", operations.info),
    ("GET", "/v2", metadata.server_metadata),
    ("GET", "/v2/models/stats", statistics.all_statistics),
    ("GET", "/v2/models/{model}", metadata.model_metadata),
    ("GET", "/v2/models/{model}/ready", metadata.model_ready),
    ("GET", "/v2/models/{model}/versions/{version}", metadata.model_metadata),
    ("GET", "/v2/models/{model}/versions/{version}/ready", metadata.model_ready),
    ("GET", "/v2/models/{model}/config", configuration.model_config),
    ("GET", "/v2/models/{model}/versions/{version}/config", configuration.model_config),
    ("GET", "/v2/models/{model}/stats", statistics.model_statistics),
    ("GET", "/v2/models/{model}/versions/{version}/stats", statistics.model_statistics),
    ("POST", "/v2/repository/index", repository.repository_index),
    ("POST", "/v2/repository/models/{model}/load", repository.load_model),
    ("POST", "/v2/repository/models/{model}/unload", repository.unload_model),
    ("GET", "/v1/models", status_v1.v1_models),
    ("GET", "/v1/models/{model}", status_v1.v1_model),
    ("GET", "/v1/models/{model}/versions/{version}", status_v1.v1_model),
)

# A full look at all objects stops every request for milliseconds; requests leave few cycles behind.
_GARBAGE = (10_000, 20, 50)

_log = logging.getLogger(__name__)


def create_app(settings: Settings) -> Observer:
    """The ASGI application of one process; models load after it has started.

    Raises KeyFileError.
    """
    state = make_state(settings)
    app = FastAPI(
        title="inference-server",
        version=__version__,
        lifespan=_lifespan,
        docs_url=None,
        openapi_url="/openapi.json" if settings.docs else None,
        redoc_url=None,
        redirect_slashes=False,  # the Location would be made from whatever Host says
    )
    app.state.server = state
    for method, path, endpoint in ROUTES:
        app.add_route(path, endpoint, methods=[method])
    if settings.docs:
        app.add_route("/docs", _docs)
    app.openapi = lambda: openapi(app)  # type: ignore[method-assign]
    app.add_exception_handler(RequestError, _refused)
    app.add_exception_handler(HTTPException, _no_such_route)
    app.add_exception_handler(Exception, _broken)
    return Observer(app, state)


def make_state(settings: Settings) -> State:
    """The parts, connected; raises KeyFileError."""
    metrics = Metrics()
    scheduler = Scheduler(settings, metrics, here())
    catalog = _make_catalog(settings, metrics, scheduler)
    guard = Guard(settings)
    logs.count_drops_in(metrics.log_dropped)
    tracer = Tracer.from_environment(
        settings.trace_sample_rate, metrics.spans_dropped, metrics.spans_exported
    )
    prediction_log = PredictionLog.from_settings(settings, metrics)
    access_log = AccessLog(settings.log_sample_rate)
    pipeline = Pipeline(
        catalog,
        guard,
        metrics,
        tracer,
        access_log,
        prediction_log,
        settings.deadline_ms / 1000,
    )
    patience = Patience(
        head_bytes=settings.max_header_bytes,
        request_seconds=settings.request_seconds,
        idle_seconds=settings.idle_seconds,
        connections=settings.max_connections,
    )
    limits = BodyLimits(
        settings.max_body_bytes, settings.max_decompression_ratio, settings.max_json_depth
    )
    fast_lane = FastLane(pipeline, guard, patience, limits, response_headers(settings))
    return State(
        settings=settings,
        metrics=metrics,
        catalog=catalog,
        scheduler=scheduler,
        guard=guard,
        tracer=tracer,
        access_log=access_log,
        prediction_log=prediction_log,
        fast_lane=fast_lane,
    )


def _make_catalog(settings: Settings, metrics: Metrics, scheduler: Scheduler) -> Catalog:
    def open_lane(model: Model, config: ModelConfig) -> Lane:
        def failed(reason: str, detail: str) -> None:
            catalog.model_failed(model.name, model.version, f"{reason}: {detail}", model)

        return scheduler.open(model, config, failed)

    catalog = Catalog(
        settings.model_repository,
        Hardware(
            require_gpu=settings.require_gpu,
            intra_op_threads=settings.intra_op_threads,
            cpus=max(1, cpu_quota() // settings.workers),
            gpu_memory_bytes=settings.gpu_memory_bytes,
            tensorrt=settings.tensorrt,
            engine_cache=settings.engine_cache,
        ),
        metrics,
        open_lane,
        Control(
            mode=settings.model_control,
            poll_seconds=settings.poll_seconds,
            preload=settings.preload,
            memory_bytes=settings.model_memory_bytes,
            load_seconds=settings.model_load_seconds,
            default_model=settings.default_model,
        ),
        here(),
    )
    if settings.model_name and settings.model_version and settings.model_sha256:
        catalog.expect(settings.model_name, settings.model_version, settings.model_sha256)
    return catalog


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    state: State = app.state.server
    await state.guard.start()
    loading = asyncio.create_task(state.catalog.start())
    loading.add_done_callback(_settle)
    watching = asyncio.create_task(state.fast_lane.watch())
    with Drain(state), Reload(state.settings, state.on_reload):
        async with _grpc(state, app, loading):
            yield
    watching.cancel()
    loading.cancel()
    await asyncio.wait([loading, watching])
    state.scheduler.close()  # whoever still waits after SHUTDOWN_SECONDS is answered now
    await state.catalog.stop()
    await state.guard.stop()
    await asyncio.to_thread(state.tracer.close)
    await asyncio.to_thread(state.prediction_log.close)


def _settle(loading: "asyncio.Task[None]") -> None:
    """Everything is loaded; what is there now stays, so the collector need not look at it again."""
    if not loading.cancelled() and (error := loading.exception()) is not None:
        _log.error("models could not be loaded", exc_info=error)
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_GARBAGE)
    here().settle()


@asynccontextmanager
async def _grpc(state: State, app: FastAPI, loaded: "asyncio.Task[None]") -> AsyncIterator[None]:
    if state.settings.grpc_port is None:
        yield
        return
    from inference_server.grpc_api.server import serving

    async with serving(state.settings, state.fast_lane.pipeline, Observer(app, state), loaded):
        yield


async def _docs(request: Request) -> Response:
    """The documents of the endpoints as a page."""
    state: State = request.app.state.server
    page = get_swagger_ui_html(openapi_url="/openapi.json", title="inference-server")
    page.raw_headers += docs_headers(state.settings, bytes(page.body))
    return page


async def _refused(request: Request, error: Any) -> Response:
    return error_response(request.url.path, error.status, error.message, error.headers)


async def _no_such_route(request: Request, error: Any) -> Response:
    return error_response(request.url.path, error.status_code, str(error.detail), error.headers)


async def _broken(request: Request, _: Any) -> Response:
    return error_response(request.url.path, 500, "internal error")
