"""A JSON object from a body: parsed strictly, each key once, and written back."""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import orjson

from inference_server.errors import RequestError

_LARGE = 1 << 16
_NAMED = 1 << 18  # bodies up to this size are parsed once more to name a repeated key


def load_object(body: bytes | memoryview) -> dict[str, Any]:
    """The object in a body, repeated keys not yet found; raises RequestError (400)."""
    try:
        content = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise RequestError(400, f"the body is no JSON: {error}"[:256]) from None
    if type(content) is not dict:
        raise RequestError(400, "the body is no JSON object")
    return content


def load_unique_object(body: bytes | memoryview) -> dict[str, Any]:
    """The object in a body, each key once; raises RequestError (400)."""
    content = load_object(body)
    require_unique_keys(bytes(body), content, 0)
    return content


def require_unique_keys(body: bytes, content: Mapping[str, Any], pairs: int) -> None:
    """Refuse an object in which a key stands twice, of which the parser kept the last.

    Each pair has a colon. As many colons in the text as pairs in the parsed objects, of which
    the caller counted `pairs`, leave none for a repeated key. Otherwise the colons within
    strings are counted too; then what is too much is a repeated key.
    """
    colons = _colons(body)
    if colons == pairs:
        return
    if rb"\u003" in body:  # maybe an escaped colon, which is parsed, but was not counted
        _parse_strictly(body)
    elif colons != _pairs_and_colons(content):
        if len(body) <= _NAMED:
            _parse_strictly(body)
        raise RequestError(400, "a key stands twice in an object of the JSON")


def _colons(body: bytes) -> int:
    if len(body) < _LARGE:
        return body.count(b":")
    return int(np.count_nonzero(np.frombuffer(body, np.uint8) == ord(":")))


def _pairs_and_colons(value: Any) -> int:
    found, waiting = 0, [value]
    while waiting:
        each = waiting.pop()
        if type(each) is dict:
            found += len(each)
            waiting.extend(each)
            waiting.extend(each.values())
        elif type(each) is list:
            if set(map(type, each)) == {str}:
                found += "".join(each).count(":")
            else:
                waiting.extend(part for part in each if type(part) in (dict, list, str))
        elif type(each) is str:
            found += each.count(":")
    return found


def _parse_strictly(body: bytes) -> None:
    try:
        json.loads(body, object_pairs_hook=_unique)
    except RecursionError:
        raise RequestError(400, "the JSON is nested too deeply") from None


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    for key, value in pairs:
        if key in content:
            raise RequestError(400, f"the key {key[:128]!r} stands twice in an object of the JSON")
        content[key] = value
    return content
