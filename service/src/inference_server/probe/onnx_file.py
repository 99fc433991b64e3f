"""The metadata of an ONNX file, read without its weights.

ONNX Runtime gives the metadata only with a whole session, which for a large model takes the
memory and the time of the server. The wire format of protobuf lets a reader skip the graph.
"""

import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

MAX_METADATA_BYTES = 16 * 2**20

# Field numbers of onnx.proto: ModelProto.metadata_props, StringStringEntryProto.key and value.
_METADATA_PROPS = 14
_KEY, _VALUE = 1, 2

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class OnnxFileError(Exception):
    """A file that is no ONNX model, or whose metadata is too large."""


def read_metadata(path: Path) -> dict[str, str]:
    """`metadata_props` of an ONNX file; raises OnnxFileError, OSError."""
    with path.open("rb") as file:
        entries = [
            dict(_fields(io.BytesIO(entry), len(entry), {_KEY, _VALUE}))
            for _, entry in _fields(file, path.stat().st_size, {_METADATA_PROPS})
        ]
    try:
        return {entry[_KEY].decode(): entry[_VALUE].decode() for entry in entries}
    except (KeyError, UnicodeDecodeError):
        raise OnnxFileError("an entry of its metadata is no key with a value") from None


def _fields(stream: BinaryIO, size: int, wanted: set[int]) -> Iterator[tuple[int, bytes]]:
    """Number and bytes of each wanted field of one message of `size` bytes."""
    while stream.tell() < size:
        tag = _varint(stream)
        number, kind = tag >> 3, tag & 7
        length = _length(stream, kind)
        if stream.tell() + length > size:
            raise OnnxFileError("it ends in the middle of a field")
        if kind == _BYTES and number in wanted:
            if length > MAX_METADATA_BYTES:
                raise OnnxFileError(f"its metadata is larger than {MAX_METADATA_BYTES} bytes")
            yield number, stream.read(length)
        else:
            stream.seek(length, io.SEEK_CUR)


def _length(stream: BinaryIO, kind: int) -> int:
    """Bytes that follow the tag; a number of variable length is read here."""
    if kind == _BYTES:
        return _varint(stream)
    if kind == _VARINT:
        _varint(stream)
        return 0
    if kind in (_FIXED64, _FIXED32):
        return 8 if kind == _FIXED64 else 4
    raise OnnxFileError(f"protobuf knows no wire type {kind}")


def _varint(stream: BinaryIO) -> int:
    number = 0
    for shift in range(0, 70, 7):
        byte = stream.read(1)
        if not byte:
            raise OnnxFileError("it ends in the middle of a field")
        number |= (byte[0] & 0x7F) << shift
        if byte[0] < 0x80:
            return number
    raise OnnxFileError("a number in it is longer than protobuf allows")
