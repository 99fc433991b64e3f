"""Answers of one model kept for requests that come again, byte for byte."""

from collections import OrderedDict
from collections.abc import Mapping
from hashlib import blake2b

import numpy as np

from inference_server.models.signature import Tensor

_ENTRY_BYTES = 512  # of Python objects around the tensors of one entry
_ELEMENT_BYTES = 64  # of one Python string beside its characters


class ResponseCache:
    """The least recently used answers go first when the bytes run out; event loop only."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[bytes, tuple[int, Mapping[str, Tensor]]] = OrderedDict()
        self.bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: bytes) -> Mapping[str, Tensor] | None:
        """The outputs kept under a key; they are read-only."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        self._entries.move_to_end(key)
        return entry[1]

    def put(self, key: bytes, outputs: Mapping[str, Tensor]) -> None:
        """Keep a copy of the outputs, unless it is larger than the whole cache."""
        size = _ENTRY_BYTES + sum(map(_size, outputs.values()))
        if size > self._max_bytes:
            return
        self._drop(key)
        self._entries[key] = size, {name: _frozen(tensor) for name, tensor in outputs.items()}
        self.bytes += size
        while self.bytes > self._max_bytes:
            self._drop(next(iter(self._entries)))

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()
        self.bytes = 0

    def _drop(self, key: bytes) -> None:
        entry = self._entries.pop(key, None)
        if entry is not None:
            self.bytes -= entry[0]


def cache_key(feeds: Mapping[str, Tensor]) -> bytes:
    """A digest of names, dtypes, shapes and bytes; equal only for equal feeds."""
    digest = blake2b(digest_size=32)
    for name in sorted(feeds):
        tensor = feeds[name]
        digest.update(repr((name, tensor.dtype.str, tensor.shape)).encode())
        if tensor.dtype.hasobject:
            for element in tensor.ravel():
                content = element if isinstance(element, bytes) else str(element).encode()
                digest.update(
                    b"%c%d:" % (b"b" if isinstance(element, bytes) else b"s", len(content))
                )
                digest.update(content)
        else:
            digest.update(np.ascontiguousarray(tensor).data)
    return digest.digest()


def _size(tensor: Tensor) -> int:
    if tensor.dtype.hasobject:
        return int(tensor.nbytes + sum(_ELEMENT_BYTES + 4 * len(each) for each in tensor.ravel()))
    return int(tensor.nbytes)


def _frozen(tensor: Tensor) -> Tensor:
    copy = tensor.copy()
    copy.flags.writeable = False
    return copy
