"""Writes samples into a Prometheus server by its remote write protocol, stale markers included.

Text formats cannot say that a scrape failed; a stale marker is a NaN of its own bit pattern.
"""

import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import httpx

#: The NaN that ends a series (prometheus/model/value).
STALE = struct.pack("<Q", 0x7FF0000000000002)

_CHUNK = 1 << 16


@dataclass(frozen=True)
class Series:
    """A series: labels with `__name__`, and samples of Unix milliseconds; None is stale."""

    labels: Mapping[str, str]
    samples: Sequence[tuple[int, float | None]]


def write(address: str, series: Iterable[Series]) -> None:
    """Send the series in one request; raises httpx.HTTPStatusError where they are refused."""
    body = b"".join(_field(1, _series(one)) for one in series)
    response = httpx.post(
        f"{address}/api/v1/write",
        content=_snappy(body),
        headers={
            "Content-Encoding": "snappy",
            "Content-Type": "application/x-protobuf",
            "X-Prometheus-Remote-Write-Version": "0.1.0",
        },
        timeout=60,
        trust_env=False,
    )
    response.raise_for_status()


def _series(series: Series) -> bytes:
    labels = (
        _field(1, _field(1, name.encode()) + _field(2, value.encode()))
        for name, value in sorted(series.labels.items())
    )
    return b"".join(labels) + b"".join(_field(2, _sample(*sample)) for sample in series.samples)


def _sample(at: int, value: float | None) -> bytes:
    number = STALE if value is None else struct.pack("<d", value)
    return b"\x09" + number + b"\x10" + _varint(at)


def _field(number: int, content: bytes) -> bytes:
    return _varint(number << 3 | 2) + _varint(len(content)) + content


def _varint(value: int) -> bytes:
    found = bytearray()
    while value > 0x7F:
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])


def _snappy(data: bytes) -> bytes:
    """Frame bytes as snappy does, as literals only: nothing is compressed."""
    chunks = (data[at : at + _CHUNK] for at in range(0, len(data), _CHUNK))
    literals = (b"\xf4" + struct.pack("<H", len(chunk) - 1) + chunk for chunk in chunks)
    return _varint(len(data)) + b"".join(literals)
