"""OpenAPI document of the endpoints, for /docs and for client generators."""

import re
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.routing import Route

from inference_server.protocol.schemas import SCHEMAS, ref
from inference_server.settings import Settings
from inference_server.state import State
from inference_server.transport.observer import endpoint_of

_JSON = "application/json"
_BINARY = "application/octet-stream"
_TENSOR = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [0.1, 0.2, 0.3]}
_ROWS = [[0.1, 0.2, 0.3]]
Secured = frozenset[str]
_SECURITY = {
    "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "bearer": {"type": "http", "scheme": "bearer", "description": "an API key, or a signed token"},
}
_PARAMETERS = {
    "model": "Name of the model",
    "version": "Version of the model: a positive integer",
}
_WHY = {
    400: "The request is wrong; the message says how.",
    401: "No key, or none that is valid.",
    403: "The key does not allow this.",
    404: "There is no such model or version.",
    413: "The body is too large.",
    415: "The media type or the encoding of the body is not supported.",
    429: "Too many requests wait, or this client asks too often; see Retry-After.",
    503: "Not ready, or about to stop; see Retry-After.",
    504: "The deadline has passed.",
}
_INFERENCE = (400, 404, 413, 415, 429, 503, 504)


class Operation(NamedTuple):
    """What the document says of a path: the names of its schemas, its example, its errors."""

    summary: str
    answer: str
    errors: tuple[int, ...] = ()
    body: str | None = None
    example: Any = None
    status: tuple[int, ...] = (200,)


_INFER = Operation(
    "Run a model on tensors: JSON, or binary data behind it",
    "InferResponse",
    _INFERENCE,
    "InferRequest",
    {"id": "42", "inputs": [_TENSOR], "outputs": [{"name": "label"}]},
)
_V1 = Operation(
    "Run a model on rows or whole inputs, as TensorFlow Serving does",
    "V1Response",
    _INFERENCE,
    "V1Request",
    {"instances": _ROWS},
)
_METADATA = Operation("Signature of a model version", "ModelMetadata", (404, 503))
_READY = Operation("Whether a model version can answer", "ModelReady", (404,), status=(200, 503))
_CONFIG = Operation("Configuration of a model version", "ModelConfig", (404, 503))
_STATISTICS = Operation("How often and how long a model ran", "Statistics", (404,))
_STATUS = Operation("Whether a model is ready", "V1Model", (404,), status=(200, 503))
_HEALTH = Operation(
    "Whether traffic should be sent here, and why not", "Readiness", status=(200, 503)
)
_LIVE = Operation("Whether the process answers", "Live")

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("post", "/v2/models/{model}/infer"): _INFER,
    ("post", "/v2/models/{model}/versions/{version}/infer"): _INFER,
    ("post", "/v1/models/{model}:predict"): _V1,
    ("post", "/v1/models/{model}/versions/{version}:predict"): _V1,
    ("post", "/predict"): Operation(
        "Run a model on plain rows or named columns",
        "PredictResponse",
        _INFERENCE,
        "PredictRequest",
        {"instances": _ROWS},
    ),
    ("get", "/"): Operation("Whether the process answers", "Alive"),
    ("get", "/v2/health/live"): _LIVE,
    ("get", "/v2/health/ready"): Operation(
        "Whether traffic should be sent here", "Ready", status=(200, 503)
    ),
    ("get", "/health"): _HEALTH,
    ("get", "/health/live"): _LIVE,
    ("get", "/health/ready"): _HEALTH,
    ("get", "/metrics"): Operation("Prometheus metrics of all workers", ""),
    ("get", "/info"): Operation("Versions of the server, and its models", "Info"),
    ("get", "/v2"): Operation("Name, version and extensions of the server", "ServerMetadata"),
    ("get", "/v2/models/stats"): _STATISTICS,
    ("get", "/v2/models/{model}"): _METADATA,
    ("get", "/v2/models/{model}/ready"): _READY,
    ("get", "/v2/models/{model}/versions/{version}"): _METADATA,
    ("get", "/v2/models/{model}/versions/{version}/ready"): _READY,
    ("get", "/v2/models/{model}/config"): _CONFIG,
    ("get", "/v2/models/{model}/versions/{version}/config"): _CONFIG,
    ("get", "/v2/models/{model}/stats"): _STATISTICS,
    ("get", "/v2/models/{model}/versions/{version}/stats"): _STATISTICS,
    ("post", "/v2/repository/index"): Operation(
        "Model versions of the repository", "Index", (400,), "IndexRequest", {"ready": True}
    ),
    ("post", "/v2/repository/models/{model}/load"): Operation(
        "Load a model, in mode explicit", "Empty", (400, 404, 503), "LoadRequest", {}
    ),
    ("post", "/v2/repository/models/{model}/unload"): Operation(
        "Unload a model, in mode explicit", "Empty", (400, 404), "UnloadRequest", {}
    ),
    ("get", "/v1/models"): Operation("Names of the models", "V1Models"),
    ("get", "/v1/models/{model}"): _STATUS,
    ("get", "/v1/models/{model}/versions/{version}"): _STATUS,
}


def openapi(app: FastAPI) -> dict[str, Any]:
    """The document, of the routes that there are; they ask for a key where keys are configured."""
    if app.openapi_schema is None:
        state: State = app.state.server
        secured = _secured(state.settings)
        paths: dict[str, dict[str, Any]] = {}
        for route in app.routes:
            if isinstance(route, Route):
                _add(paths, route, secured)
        app.openapi_schema = {
            "openapi": "3.1.0",
            "info": {
                "title": app.title,
                "version": app.version,
                "description": "Serves ONNX models by the Open Inference Protocol v2.",
            },
            "paths": paths,
            "components": {"schemas": SCHEMAS, "securitySchemes": _SECURITY},
        }
    return app.openapi_schema


def _secured(settings: Settings) -> Secured:
    """The kinds of endpoints that need a key."""
    if not any((settings.api_key_hashes_file, settings.jwt_jwks, settings.jwt_secret_file)):
        return frozenset()
    kinds = {"infer", "predict", "metadata", "admin", "other"}
    return frozenset(kinds | {"metrics"} if settings.metrics_auth else kinds)


def _add(paths: dict[str, dict[str, Any]], route: Route, secured: Secured) -> None:
    for method in ("get", "post"):
        operation = OPERATIONS.get((method, route.path))
        if operation is not None and method.upper() in (route.methods or ()):
            described = _describe(method, route.path, operation, secured)
            paths.setdefault(route.path, {})[method] = described


def _describe(method: str, path: str, operation: Operation, secured: Secured) -> dict[str, Any]:
    label = endpoint_of(path)
    content: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": "_".join([method, *re.findall(r"\w+", path)]),
        "tags": [label],
        "responses": _responses(path, operation, label in secured),
    }
    parameters = [_path_parameter(name) for name in re.findall(r"{(\w+)}", path)]
    if path == "/predict":
        parameters = [
            {"name": name, "in": "query", "schema": {"type": "string"}, "description": text}
            for name, text in _PARAMETERS.items()
        ]
    if operation.answer == "InferResponse":
        parameters.append(_header_length())
    if parameters:
        content["parameters"] = parameters
    if operation.body is not None:
        content["requestBody"] = _request_body(operation)
    if label in secured:
        content["security"] = [{name: []} for name in _SECURITY]
    return content


def _path_parameter(name: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": "path",
        "required": True,
        "description": _PARAMETERS[name],
        "schema": {"type": "string", "minLength": 1},
    }


def _header_length() -> dict[str, Any]:
    return {
        "name": "Inference-Header-Content-Length",
        "in": "header",
        "description": "Bytes of JSON before the binary data; 0 for a body that is nothing but "
        "the only input's data.",
        "schema": {"type": "integer", "minimum": 0},
    }


def _request_body(operation: Operation) -> dict[str, Any]:
    json = {"schema": ref(operation.body or ""), "example": operation.example}
    content: dict[str, Any] = {_JSON: json}
    if operation is _INFER:
        content[_BINARY] = {"schema": {"type": "string", "format": "binary"}}
    return {"required": operation.body not in _OPTIONAL, "content": content}


_OPTIONAL = frozenset({"IndexRequest", "LoadRequest", "UnloadRequest"})


def _responses(path: str, operation: Operation, secured: bool) -> dict[str, Any]:
    answer: dict[str, Any] = {"text/plain": {"schema": {"type": "string"}}}
    if operation.answer:
        answer = {_JSON: {"schema": ref(operation.answer)}}
    if operation is _INFER:
        answer[_BINARY] = {"schema": {"type": "string", "format": "binary"}}
    form = (_JSON, "Error") if path.startswith("/v2") else ("application/problem+json", "Problem")
    error = {form[0]: {"schema": ref(form[1])}}
    responses: dict[str, Any] = {
        str(status): {
            "description": "As asked." if status == 200 else "Not now.",
            "content": answer,
        }
        for status in operation.status
    }
    for status in (*operation.errors, *((401, 403, 429) if secured else ())):
        responses[str(status)] = {"description": _WHY[status], "content": error}
    responses["default"] = {"description": "Whatever else went wrong.", "content": error}
    return responses
