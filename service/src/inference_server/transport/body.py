"""A request's body: bounded as it arrives, as it unpacks, and in how deep its JSON is nested."""

import asyncio
import zlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from starlette.requests import Request

from inference_server.errors import RequestError

Positions = npt.NDArray[np.intp]

_STEP = 1 << 16
_FREE_RATIO = 1 << 20  # bytes that any compressed body may have, however small it is
_THREADED = 1 << 16  # a larger compressed body would keep the event loop for over a millisecond
_SMALL = 1 << 16  # bytes that are faster looked at without NumPy
_SPARSE = 256  # bytes for each one found, from which on NumPy is slower
_NO_ENCODING = (b"", b"identity")
_ACCEPTED = {"Accept-Encoding": "gzip, deflate"}  # RFC 9110, section 15.5.16


class BodyLimits(NamedTuple):
    """What a body may be: bytes sent and unpacked, bytes unpacked for each sent, nesting."""

    size: int
    ratio: int = 100
    depth: int = 64


async def read(request: Request, limits: BodyLimits) -> bytes:
    """The body as it was sent, bounded; raises RequestError (413)."""
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > limits.size:
        raise _too_large(limits.size)
    parts: list[bytes] = []
    size = 0
    async for part in request.stream():
        size += len(part)
        if size > limits.size:
            raise _too_large(limits.size)
        parts.append(part)
    return parts[0] if len(parts) == 1 else b"".join(parts)


async def read_decoded(request: Request, limits: BodyLimits) -> bytes:
    """The body unpacked, a large one in a thread; raises RequestError (400, 413, 415)."""
    body = await read(request, limits)
    headers = dict(request.headers.raw)
    if b"content-encoding" in headers and len(body) > _THREADED:
        return await asyncio.to_thread(decode, body, headers, limits)
    return decode(body, headers, limits)


def decode(body: bytes, headers: Mapping[bytes, bytes], limits: BodyLimits) -> bytes:
    """The body without its Content-Encoding, its JSON not nested too deeply.

    Raises RequestError: 400 for one that is truncated or corrupt, 413 for one that is, or would
    become, too large, 415 for an encoding other than gzip and deflate.
    """
    if len(body) > limits.size:
        raise _too_large(limits.size)
    encoding = headers.get(b"content-encoding")
    if encoding is not None and (encoding := encoding.strip().lower()) not in _NO_ENCODING:
        body = _unpack(body, encoding, limits)
    length = headers.get(b"inference-header-content-length")
    if length is not None:
        # what stands after that many bytes is no JSON; a wrong length is the reader's to refuse
        check_depth(body[: int(length)] if length.isdigit() and len(length) < 12 else b"", limits)
    elif headers.get(b"content-type") != b"application/octet-stream":
        check_depth(body, limits)
    return body


def check_depth(text: bytes, limits: BodyLimits) -> None:
    """Raise RequestError (400) where arrays and objects are nested deeper than allowed.

    The parser has a limit of its own, 1024, with which Python code that follows the nesting, or
    an answer that repeats it, would fail.
    """
    if len(text) < _SMALL:
        if text.count(b"[") + text.count(b"{") > limits.depth:
            _check_small(text, limits.depth)
        return
    if len(text) > _FREE_RATIO:
        check_depth(text[:_SMALL], limits)  # saves looking at all of an obvious attack
    arrays, objects = _positions(text, b"["), _positions(text, b"{")
    if len(arrays) + len(objects) <= limits.depth:
        return
    strings = _strings(text)
    opened = _outside(strings, arrays, objects)
    if len(opened) <= limits.depth:
        return
    closed = _outside(strings, _positions(text, b"]"), _positions(text, b"}"))
    depth = np.arange(1, len(opened) + 1) - np.searchsorted(closed, opened)
    if depth.max() > limits.depth:
        raise _too_deep(limits.depth)


def _check_small(text: bytes, most: int) -> None:
    bare = b"".join(_unescaped(text).split(b'"')[::2])  # without the strings
    depth = 0
    for part in bare.replace(b"{", b"[").replace(b"}", b"]").split(b"[")[1:]:
        depth += 1
        if depth > most:
            raise _too_deep(most)
        depth -= part.count(b"]")


def _positions(text: bytes, byte: bytes) -> Positions:
    """Where a byte stands: found one by one where there are few, which is faster by far."""
    few = len(text) // _SPARSE + 128
    found: list[int] = []
    at = text.find(byte)
    while at >= 0:
        found.append(at)
        if len(found) > few:
            return np.flatnonzero(np.frombuffer(text, np.uint8) == ord(byte))
        at = text.find(byte, at + 1)
    return np.array(found, np.intp)


def _strings(text: bytes) -> tuple[Positions, Positions]:
    """Where strings begin and end: each second quote that no backslash escapes."""
    quotes = _positions(_unescaped(text), b'"')
    if len(quotes) % 2:
        quotes = np.append(quotes, len(text))
    return quotes[0::2], quotes[1::2]


def _unescaped(text: bytes) -> bytes:
    if b"\\" not in text:
        return text
    return text.replace(rb"\\", b"  ").replace(rb"\"", b"  ")


def _outside(strings: tuple[Positions, Positions], *kinds: Positions) -> Positions:
    """The positions of all kinds, in order, that stand in no string."""
    positions = np.concatenate(kinds)
    positions.sort(kind="stable")  # which merges what is sorted already
    starts, ends = strings
    if not len(starts):
        return positions
    string = np.searchsorted(starts, positions) - 1  # the one that begins before; -1: none does
    return positions[(string < 0) | (positions > ends[string])]


def _unpack(body: bytes, encoding: bytes, limits: BodyLimits) -> bytes:
    if encoding in (b"gzip", b"x-gzip"):
        unpacker = zlib.decompressobj(16 + zlib.MAX_WBITS)
    elif encoding == b"deflate":
        unpacker = zlib.decompressobj(zlib.MAX_WBITS if _has_header(body) else -zlib.MAX_WBITS)
    else:
        raise RequestError(415, "Content-Encoding: only gzip and deflate are unpacked", _ACCEPTED)
    most = min(limits.size, max(_FREE_RATIO, limits.ratio * len(body)))
    parts: list[bytes] = []
    size = 0
    rest = body
    try:
        while rest and not unpacker.eof:
            part = unpacker.decompress(rest, _STEP)
            size += len(part)
            if size > most:
                raise _too_large(most, "unpacked ")
            parts.append(part)
            rest = unpacker.unconsumed_tail
            if not part and not rest:
                break
    except zlib.error:
        raise RequestError(400, f"the body is no {encoding.decode()}") from None
    if not unpacker.eof:
        raise RequestError(400, f"the body's {encoding.decode()} ends too early")
    if unpacker.unused_data:
        # further members of nothing would each cost time and never reach a limit
        raise RequestError(400, f"something follows the body's {encoding.decode()}")
    return b"".join(parts)


def _has_header(body: bytes) -> bool:
    """Whether it is zlib's format (RFC 1950), as it should be, or bare deflate, as many send."""
    return len(body) > 1 and body[0] & 15 == 8 and (body[0] << 8 | body[1]) % 31 == 0


def _too_deep(most: int) -> RequestError:
    return RequestError(400, f"the JSON is nested deeper than {most}")


def _too_large(most: int, how: str = "") -> RequestError:
    # Closing saves reading the rest of a body that nobody wants.
    return RequestError(413, f"the {how}body is larger than {most} bytes", {"Connection": "close"})
