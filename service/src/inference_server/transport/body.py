"""Reads a request's body: bounded, JSON, an object."""

from typing import Any

import orjson
from starlette.requests import Request

from inference_server.errors import RequestError


async def read_object(request: Request, max_bytes: int) -> dict[str, Any]:
    """The JSON object in the body; raises RequestError (400, 413, 415)."""
    _check_headers(request, max_bytes)
    content = await _read(request, max_bytes)
    try:
        value = orjson.loads(content)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is no JSON: {error}") from None
    if not isinstance(value, dict):
        raise RequestError(400, "the body is no JSON object")
    return value


def _check_headers(request: Request, max_bytes: int) -> None:
    headers = request.headers
    length = headers.get("content-length")
    if length is not None and length.isdigit() and int(length) > max_bytes:
        raise _too_large(max_bytes)
    media_type = headers.get("content-type", "application/json").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise RequestError(415, "send JSON, with Content-Type: application/json")
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise RequestError(415, "send the body without Content-Encoding")
    if "inference-header-content-length" in headers:
        raise RequestError(415, "binary tensors are not supported; send the data as JSON")


async def _read(request: Request, max_bytes: int) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > max_bytes:
            raise _too_large(max_bytes)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _too_large(max_bytes: int) -> RequestError:
    # Closing saves reading the rest of a body that nobody wants.
    return RequestError(413, f"the body is larger than {max_bytes} bytes", {"Connection": "close"})
