"""HTTP's statuses, in which the server thinks, as gRPC clients know them."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import grpc
import orjson

from inference_server.grpc_api import schema
from inference_server.inference.call import Answer

Metadata = tuple[tuple[str, str | bytes], ...]

_Code = grpc.StatusCode
_CODES: Mapping[int, grpc.StatusCode] = {
    401: _Code.UNAUTHENTICATED,
    403: _Code.PERMISSION_DENIED,
    404: _Code.NOT_FOUND,
    405: _Code.UNIMPLEMENTED,
    409: _Code.FAILED_PRECONDITION,
    413: _Code.RESOURCE_EXHAUSTED,
    429: _Code.RESOURCE_EXHAUSTED,
    499: _Code.CANCELLED,
    501: _Code.UNIMPLEMENTED,
    503: _Code.UNAVAILABLE,
    504: _Code.DEADLINE_EXCEEDED,
}
_HTTP_ONLY = frozenset(
    {b"content-type", b"content-length", b"connection", b"date", b"transfer-encoding", b"vary"}
)
_Status = schema.message("google.rpc.Status")
_RetryInfo = schema.message("google.rpc.RetryInfo")


class Refusal(NamedTuple):
    """What ends a call that is not answered."""

    code: grpc.StatusCode
    message: str
    metadata: Metadata


def refusal(answer: Answer) -> Refusal:
    """The gRPC status of an answer whose HTTP status is no 200."""
    default = _Code.INVALID_ARGUMENT if answer.status < 500 else _Code.INTERNAL
    code = _CODES.get(answer.status, default)
    text = _message(answer.body)
    return Refusal(code, text, trailing(answer) + _retry(code, text, answer))


def trailing(answer: Answer) -> Metadata:
    """The answer's headers as trailing metadata, without those that only HTTP/1.1 needs."""
    return tuple(
        (name.decode("latin-1").lower(), value.decode("latin-1"))
        for name, value in answer.headers
        if name.lower() not in _HTTP_ONLY
    )


def _message(body: bytes) -> str:
    try:
        content: Any = orjson.loads(body)
        return str(content["error"])
    except (orjson.JSONDecodeError, TypeError, KeyError):
        return "the request was refused"


def _retry(code: grpc.StatusCode, text: str, answer: Answer) -> Metadata:
    """When to come again: as RetryInfo, and as the push-back that gRPC's own retries obey."""
    seconds = next((value for name, value in answer.headers if name.lower() == b"retry-after"), b"")
    if not seconds.isdigit():
        return ()
    status = _Status(code=code.value[0], message=text)
    info = _RetryInfo()
    info.retry_delay.seconds = int(seconds)
    status.details.add(
        type_url="type.googleapis.com/google.rpc.RetryInfo", value=info.SerializeToString()
    )
    return (
        ("grpc-retry-pushback-ms", str(1000 * int(seconds))),
        ("grpc-status-details-bin", status.SerializeToString()),
    )
