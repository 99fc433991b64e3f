"""Bodies: bounded as they arrive, as they unpack, and in how deep their JSON is nested."""

import asyncio
import gzip
import json
import os
import tracemalloc
import zlib
from collections.abc import Mapping
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from inference_server.errors import RequestError
from inference_server.transport.body import BodyLimits, check_depth, decode, read_decoded
from starlette.requests import Request

from .conftest import Server

MIB = 1 << 20
LIMITS = BodyLimits(size=4 * MIB, ratio=100, depth=64)


def refused(
    body: bytes, headers: Mapping[bytes, bytes], limits: BodyLimits = LIMITS
) -> RequestError:
    with pytest.raises(RequestError) as caught:
        decode(body, headers, limits)
    return caught.value


def status_of(body: bytes, headers: Mapping[bytes, bytes]) -> int:
    try:
        decode(body, headers, LIMITS)
    except RequestError as error:
        return error.status
    return 200


def encoded(how: str) -> dict[bytes, bytes]:
    return {b"content-encoding": how.encode()}


def bare_deflate(content: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


PACKERS = {
    "gzip": gzip.compress,
    "X-GZip": gzip.compress,
    "deflate": zlib.compress,
    " Deflate ": bare_deflate,
    "identity": bytes,
}


@given(st.binary(max_size=4000), st.sampled_from(sorted(PACKERS)))
def test_what_was_packed_is_unpacked(content: bytes, how: str) -> None:
    headers = encoded(how) | {b"content-type": b"application/octet-stream"}
    assert decode(PACKERS[how](content), headers, LIMITS) == content


def test_a_body_larger_than_a_step_comes_out_whole() -> None:
    content = json.dumps([os.urandom(8).hex() for _ in range(50_000)]).encode()
    assert decode(gzip.compress(content), encoded("gzip"), LIMITS) == content


@given(st.binary(max_size=2000), st.data())
def test_no_cut_or_changed_body_is_taken_for_whole(content: bytes, data: Any) -> None:
    packed = bytearray(gzip.compress(content))
    if data.draw(st.booleans()):
        del packed[data.draw(st.integers(0, len(packed) - 1)) :]
    else:
        # the checksum and what it covers; the header's time and flags change nothing
        packed[data.draw(st.integers(10, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    headers = encoded("gzip") | {b"content-type": b"application/octet-stream"}
    if (status := status_of(bytes(packed), headers)) == 200:
        assert decode(bytes(packed), headers, LIMITS) == content
    assert status in (200, 400, 413)


@pytest.mark.parametrize("how", ["gzip", "deflate"])
@pytest.mark.parametrize("body", [b"", b"no archive at all", b"\x1f\x8b\x08"])
def test_what_is_no_archive_is_a_bad_request(how: str, body: bytes) -> None:
    assert refused(body, encoded(how)).status == 400


def test_a_truncated_archive_is_named_so() -> None:
    packed = gzip.compress(b'{"instances": [[1, 2, 3]]}')
    error = refused(packed[:-3], encoded("gzip"))
    assert (error.status, error.message) == (400, "the body's gzip ends too early")


def test_a_second_archive_behind_the_first_is_refused() -> None:
    error = refused(gzip.compress(b"{}") + gzip.compress(b"{}"), encoded("gzip"))
    assert (error.status, error.message) == (400, "something follows the body's gzip")


@pytest.mark.parametrize("how", ["br", "zstd", "compress", "gzip, gzip", "gzip\r\nX: y"])
def test_another_encoding_is_refused_with_those_that_are_not(how: str) -> None:
    error = refused(b"{}", encoded(how))
    assert error.status == 415
    assert error.headers == {"Accept-Encoding": "gzip, deflate"}
    assert "X: y" not in error.message


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, bare_deflate])
def test_a_bomb_never_unpacks_beyond_the_limit(pack: Any) -> None:
    bomb = pack(bytes(200 * MIB))
    tracemalloc.start()
    error = refused(bomb, encoded("gzip" if pack is gzip.compress else "deflate"))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert error.status == 413
    assert peak < 2 * LIMITS.size


def test_a_small_body_may_not_become_a_large_one() -> None:
    packed = gzip.compress(b"[" + b"0," * MIB + b"0]")  # about 1:1000, and under the size limit
    error = refused(packed, encoded("gzip"))
    assert error.status == 413
    assert "unpacked" in error.message
    assert len(decode(packed, encoded("gzip"), LIMITS._replace(ratio=1100))) == 2 * MIB + 3


def test_an_archive_in_an_archive_is_unpacked_once() -> None:
    inner = gzip.compress(bytes(MIB))
    assert decode(gzip.compress(inner), encoded("gzip"), LIMITS) == inner


def test_a_body_that_is_too_large_is_refused_and_the_connection_closed() -> None:
    error = refused(bytes(LIMITS.size + 1), {})
    assert (error.status, error.headers) == (413, {"Connection": "close"})


# JSON


def nested(depth: int, one: str = "[") -> bytes:
    return (one * depth + "1" + {"[": "]", '{"a":': "}"}[one] * depth).encode()


@pytest.mark.parametrize("one", ["[", '{"a":'])
@pytest.mark.parametrize("before", [b"", b"[1]," * 40_000, b'["]]]]"],' * 20_000])
def test_json_may_be_nested_as_deep_as_allowed_and_no_deeper(one: str, before: bytes) -> None:
    def whole(depth: int) -> bytes:
        return b"[" + before + nested(depth - 1, one) + b"]"

    decode(whole(64), {}, LIMITS)
    error = refused(whole(65), {})
    assert (error.status, error.message) == (400, "the JSON is nested deeper than 64")


@pytest.mark.parametrize("much", [1, 5000])
def test_brackets_in_strings_do_not_count(much: int) -> None:
    words = ["[" * 100, "{" * 100, '\\"[[[' * 30, "\\\\", '"', "]" * 100] * much
    decode(orjson.dumps({"inputs": [words]}), {}, LIMITS)


json_values = st.recursive(
    st.none() | st.integers(0, 9) | st.text('[]{}"\\a', max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text('["\\]', max_size=3), inner)
    ),
    max_leaves=30,
)


def depth_of(value: Any) -> int:
    if isinstance(value, dict):
        value = list(value.values())
    return 1 + max(map(depth_of, value), default=0) if isinstance(value, list) else 0


@given(json_values, st.integers(0, 8), st.booleans())
def test_the_depth_is_that_of_the_parsed_value(value: Any, limit: int, large: bool) -> None:
    text = orjson.dumps(value) + b" " * (70_000 if large else 0)
    limits = LIMITS._replace(depth=limit)
    if depth_of(value) <= limit:
        check_depth(text, limits)
    else:
        with pytest.raises(RequestError):
            check_depth(text, limits)


@given(
    st.binary(max_size=300).map(lambda b: b * 500)
    | st.text('[]{}"\\', max_size=300).map(str.encode)
)
def test_no_garbage_breaks_the_look_at_depth(text: bytes) -> None:
    assert status_of(text, {}) in (200, 400)


def test_bytes_behind_the_json_are_not_looked_at() -> None:
    header = b'{"inputs": []}'
    tail = b"[" * 500
    headers = {b"inference-header-content-length": b"%d" % len(header)}
    assert decode(header + tail, headers, LIMITS) == header + tail
    raw = {b"content-type": b"application/octet-stream"}
    assert decode(tail, raw, LIMITS) == tail
    with pytest.raises(RequestError):
        decode(nested(65), {b"inference-header-content-length": b"131"}, LIMITS)


# As it arrives


def request(parts: list[bytes], headers: dict[bytes, bytes]) -> tuple[Request, list[bytes]]:
    waiting = list(parts)

    async def receive() -> dict[str, Any]:
        body = waiting.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(waiting)}

    scope = {"type": "http", "method": "POST", "headers": list(headers.items())}
    return Request(scope, receive), waiting


def test_a_body_in_parts_is_put_together() -> None:
    asked, _ = request([b'{"a"', b": ", b"1}"], {})
    assert asyncio.run(read_decoded(asked, LIMITS)) == b'{"a": 1}'


def test_a_large_packed_body_is_unpacked_too() -> None:
    content = os.urandom(200_000).hex().encode()
    asked, _ = request([gzip.compress(content)], encoded("gzip"))
    assert asyncio.run(read_decoded(asked, LIMITS)) == content


def test_reading_ends_as_soon_as_there_is_too_much() -> None:
    asked, waiting = request([bytes(MIB)] * 10, {})
    with pytest.raises(RequestError) as caught:
        asyncio.run(read_decoded(asked, LIMITS))
    assert caught.value.status == 413
    assert len(waiting) == 5


@pytest.mark.parametrize("length", [str(LIMITS.size + 1), "9" * 5000])
def test_a_length_that_is_too_large_is_refused_unread(length: str) -> None:
    asked, waiting = request([b"{}"], {b"content-length": length.encode()})
    with pytest.raises(RequestError) as caught:
        asyncio.run(read_decoded(asked, LIMITS))
    assert caught.value.status == 413
    assert waiting == [b"{}"]


# By a server

ROW = b'{"instances": [[1, 1, 1]]}'


@pytest.mark.parametrize("how", ["gzip", "deflate", "identity"])
@pytest.mark.parametrize("path", ["/predict", "/v1/models/flowers:predict"])
def test_a_server_unpacks_what_it_is_sent(server: Server, how: str, path: str) -> None:
    answer = server.post(path, PACKERS[how](ROW), headers={"Content-Encoding": how})
    assert answer.status_code == 200
    assert answer.json()["predictions"]


def test_a_server_refuses_bombs_and_stays_up(server: Server) -> None:
    bomb = gzip.compress(bytes(40 * MIB))
    assert len(bomb) < 65536
    for _ in range(3):
        answer = server.post("/predict", bomb, headers={"Content-Encoding": "gzip"})
        assert answer.status_code == 413
    assert server.post("/predict", ROW).status_code == 200


@pytest.mark.parametrize(
    ("body", "headers", "status"),
    [
        (gzip.compress(ROW, mtime=0)[:-1], {"Content-Encoding": "gzip"}, 400),
        (ROW, {"Content-Encoding": "gzip"}, 400),
        (ROW, {"Content-Encoding": "br"}, 415),
        (ROW, {"Content-Encoding": "zstd"}, 415),
        (b" " * 65537, {}, 413),
        (b'{"instances": ' + nested(65) + b"}", {}, 400),
        (b'{"instances": ' + nested(900) + b"}", {}, 400),
        (b'{"instances": ' + nested(20_000) + b"}", {}, 400),
        (b'{"parameters": ' + nested(300, '{"a":') + b', "instances": [[1, 1, 1]]}', {}, 400),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_a_server_says_what_is_wrong_with_a_body(
    server: Server, body: bytes, headers: dict[str, str], status: int, chunked: bool
) -> None:
    if chunked:
        headers = headers | {"Content-Type": "application/json"}
        answer = server.client.post("/predict", content=iter([body]), headers=headers)
    else:
        answer = server.post("/predict", body, headers=headers)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    if status == 415:
        assert answer.headers["accept-encoding"] == "gzip, deflate"
