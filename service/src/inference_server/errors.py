"""Errors that a client may see, and the two forms in which it sees them."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.responses import Response

from inference_server.inference.call import Answer

CLIENT_CLOSED = 499


class RequestError(Exception):
    """A request that cannot be answered: the status, and what was wrong with it."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers


def error_response(
    path: str, status: int, message: str, headers: Mapping[str, str] | None = None
) -> Response:
    """`{"error": ...}` under /v2, as the protocol says; problem details (RFC 9457) elsewhere."""
    body, media_type = _body(path, status, message)
    return Response(body, status, headers=dict(headers or {}), media_type=media_type)


def error_answer(path: str, error: RequestError) -> Answer:
    """The same form as an answer to an inference."""
    body, media_type = _body(path, error.status, error.message)
    given = [(name.encode(), value.encode()) for name, value in (error.headers or {}).items()]
    return Answer(error.status, [(b"content-type", media_type.encode()), *given], body)


def _body(path: str, status: int, message: str) -> tuple[bytes, str]:
    if path.startswith("/v2"):
        return orjson.dumps({"error": message}), "application/json"
    problem = {
        "type": "about:blank",
        "title": title(status),
        "status": status,
        "detail": message,
        "error": message,
    }
    return orjson.dumps(problem), "application/problem+json"


def title(status: int) -> str:
    """The reason phrase of a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
