"""Methods that are seldom called: the REST endpoints, asked inside the process.

Keys, metrics, logs and the answers themselves are REST's; only the dress is another.
"""

from base64 import b64encode
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import orjson
from google.protobuf.json_format import ParseDict
from starlette.types import ASGIApp, Message

from inference_server.errors import RequestError
from inference_server.grpc_api import schema
from inference_server.inference.call import Answer
from inference_server.models.naming import NAME, VERSION

_HEALTH_SERVICES = ("", "inference.GRPCInferenceService")


class Method(NamedTuple):
    """A gRPC method: its request's message, the REST request, and how to write its answer."""

    request: Any
    ask: Callable[[Any], tuple[str, str, bytes]]  # HTTP method, path, body
    write: Callable[[Any, Answer], Any]  # the request and the answer to a message
    statuses: tuple[int, ...] = (200,)  # HTTP statuses that are no error


def _path(request: Any, end: str = "") -> str:
    if request.version and not VERSION.fullmatch(request.version):
        raise RequestError(404, f"no version {request.version[:20]!r}")
    version = f"/versions/{request.version}" if request.version else ""
    return f"/v2/models/{_model(request.name)}{version}{end}"


def _model(name: str) -> str:
    """A model's name, which goes into a path: nothing else may."""
    if not name:
        raise RequestError(400, "the request names no model")
    if not NAME.fullmatch(name):
        raise RequestError(404, f"unknown model {name[:128]!r}")
    return name


def _stats(request: Any) -> str:
    return _path(request, "/stats") if request.name else "/v2/models/stats"


def _repository(request: Any, what: str) -> tuple[str, str, bytes]:
    given = {key: _value(value) for key, value in request.parameters.items()}
    body = orjson.dumps({"parameters": given} if given else {})
    return "POST", f"/v2/repository/models/{_model(_loaded(request))}/{what}", body


def _value(parameter: Any) -> Any:
    """A parameter as JSON has it; bytes as base64."""
    chosen = parameter.WhichOneof("parameter_choice")
    value = getattr(parameter, chosen) if chosen else None
    return b64encode(value).decode() if isinstance(value, bytes) else value


def _loaded(request: Any) -> str:
    return str(request.model_name or request.repository_name)


def _get(path: Callable[[Any], str]) -> Callable[[Any], tuple[str, str, bytes]]:
    return lambda request: ("GET", path(request), b"")


def _whole(name: str, field: str | None = None) -> Callable[[Any, Answer], Any]:
    """The JSON answer as the message `name`, or as its one field."""
    kind = schema.message(f"inference.{name}")

    def write(_: Any, answer: Answer) -> Any:
        content = orjson.loads(answer.body)
        return ParseDict({field: content} if field else content, kind(), ignore_unknown_fields=True)

    return write


def _flag(name: str, field: str) -> Callable[[Any, Answer], Any]:
    kind = schema.message(f"inference.{name}")
    return lambda _, answer: kind(**{field: answer.status == 200})


def _done(name: str, field: str) -> Callable[[Any, Answer], Any]:
    kind = schema.message(f"inference.{name}")
    return lambda request, _: kind(**{"model_name": _loaded(request), field: True})


def _health(request: Any) -> str:
    if request.service not in _HEALTH_SERVICES:
        raise RequestError(404, "unknown service")
    return "/v2/health/ready"


def _serving(_: Any, answer: Answer) -> Any:
    status = "SERVING" if answer.status == 200 else "NOT_SERVING"
    return schema.message("grpc.health.v1.HealthCheckResponse")(status=status)


def _request(name: str) -> Any:
    return schema.message(f"inference.{name}Request")


def _index(request: Any) -> tuple[str, str, bytes]:
    return "POST", "/v2/repository/index", orjson.dumps({"ready": request.ready})


SERVICES: Mapping[str, Mapping[str, Method]] = {
    "inference.GRPCInferenceService": {
        "ServerLive": Method(
            _request("ServerLive"),
            _get(lambda _: "/v2/health/live"),
            _flag("ServerLiveResponse", "live"),
        ),
        "ServerReady": Method(
            _request("ServerReady"),
            _get(lambda _: "/v2/health/ready"),
            _flag("ServerReadyResponse", "ready"),
            (200, 503),
        ),
        "ModelReady": Method(
            _request("ModelReady"),
            _get(lambda request: _path(request, "/ready")),
            _flag("ModelReadyResponse", "ready"),
            (200, 503),
        ),
        "ServerMetadata": Method(
            _request("ServerMetadata"), _get(lambda _: "/v2"), _whole("ServerMetadataResponse")
        ),
        "ModelMetadata": Method(
            _request("ModelMetadata"), _get(_path), _whole("ModelMetadataResponse")
        ),
        "ModelConfig": Method(
            _request("ModelConfig"),
            _get(lambda request: _path(request, "/config")),
            _whole("ModelConfigResponse", "config"),
        ),
        "ModelStatistics": Method(
            _request("ModelStatistics"), _get(_stats), _whole("ModelStatisticsResponse")
        ),
        "RepositoryIndex": Method(
            _request("RepositoryIndex"), _index, _whole("RepositoryIndexResponse", "models")
        ),
        "RepositoryModelLoad": Method(
            _request("RepositoryModelLoad"),
            lambda request: _repository(request, "load"),
            _done("RepositoryModelLoadResponse", "is_loaded"),
        ),
        "RepositoryModelUnload": Method(
            _request("RepositoryModelUnload"),
            lambda request: _repository(request, "unload"),
            _done("RepositoryModelUnloadResponse", "is_unloaded"),
        ),
    },
    "grpc.health.v1.Health": {
        "Check": Method(
            schema.message("grpc.health.v1.HealthCheckRequest"),
            _get(_health),
            _serving,
            (200, 503),
        ),
    },
}


async def ask(
    application: ASGIApp, method: str, path: str, body: bytes, headers: Mapping[bytes, bytes]
) -> Answer:
    """The application's answer to one HTTP request."""
    status, answered, parts = 500, [], []

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        nonlocal status, answered
        if message["type"] == "http.response.start":
            status, answered = message["status"], list(message["headers"])
        else:
            parts.append(message.get("body", b""))

    sent = [*headers.items(), (b"content-length", b"%d" % len(body))]
    if body:
        sent.append((b"content-type", b"application/json"))
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "2",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "query_string": b"",
        "headers": sent,
        "client": None,
        "server": None,
        "state": {},
    }
    await application(scope, receive, send)
    return Answer(status, answered, b"".join(parts))
