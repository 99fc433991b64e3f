"""Errors that a client may see, and the two forms in which it sees them."""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from starlette.responses import Response


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
    if path.startswith("/v2"):
        body, media_type = {"error": message}, "application/json"
    else:
        body = {
            "type": "about:blank",
            "title": _title(status),
            "status": status,  # type: ignore[dict-item]
            "detail": message,
            "error": message,
        }
        media_type = "application/problem+json"
    return Response(orjson.dumps(body), status, headers=dict(headers or {}), media_type=media_type)


def _title(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Error"
