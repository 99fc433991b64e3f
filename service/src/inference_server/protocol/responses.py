"""Answers of the cold endpoints."""

from typing import Any

import orjson
from starlette.responses import Response


def json_response(content: Any, status: int = 200, version: int | None = None) -> Response:
    """A JSON response, with the version of the model that it is about."""
    headers = None if version is None else {"X-Model-Version": str(version)}
    return Response(orjson.dumps(content), status, headers, "application/json")
