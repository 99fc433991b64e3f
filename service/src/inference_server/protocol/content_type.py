"""Which media types a body may say it has."""

from collections.abc import Mapping

from inference_server.errors import RequestError

_JSON = b"application/json"
_BINARY = b"application/octet-stream"


def require_json(headers: Mapping[bytes, bytes]) -> None:
    """Raise RequestError (415) unless the body says it is JSON, or says nothing."""
    given = headers.get(b"content-type", _JSON)
    if given != _JSON and _media_type(given) != _JSON:
        raise RequestError(415, "send JSON, with Content-Type: application/json")


def require_binary(headers: Mapping[bytes, bytes]) -> None:
    """Raise RequestError (415) for a type that binary tensors never have."""
    given = headers.get(b"content-type", _BINARY)
    if given != _BINARY and _media_type(given) not in (_BINARY, _JSON):
        raise RequestError(415, "send binary tensors with Content-Type: application/octet-stream")


def _media_type(value: bytes) -> bytes:
    return value.partition(b";")[0].strip().lower()
