"""Requests for the models, in each server's own form, and how to read the answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import reduce
from operator import getitem

import numpy as np

Tensor = np.ndarray


def v2_json(name: str, tensor: Tensor) -> bytes:
    """Write one input as the Open Inference Protocol's JSON."""
    shape = list(tensor.shape)
    data = np.round(tensor.ravel().astype(float), 6).tolist()
    return _json({"inputs": [{"name": name, "datatype": "FP32", "shape": shape, "data": data}]})


def v2_binary(name: str, tensor: Tensor) -> tuple[bytes, dict[str, str]]:
    """Write one input by the binary tensor extension, outputs binary too; body and headers."""
    raw = tensor.astype("<f4").tobytes()
    described = {
        "name": name,
        "datatype": "FP32",
        "shape": list(tensor.shape),
        "parameters": {"binary_data_size": len(raw)},
    }
    head = _json({"inputs": [described], "parameters": {"binary_data_output": True}})
    return head + raw, {
        "Inference-Header-Content-Length": str(len(head)),
        "Content-Type": "application/octet-stream",
    }


def read_v2(answer: bytes, header_length: int | None = None) -> Tensor:
    """Read the first output of a v2 answer, JSON or binary."""
    head = json.loads(answer[:header_length] if header_length else answer)
    output = head["outputs"][0]
    if "data" in output:
        data = np.array(output["data"], dtype=np.float32)
    else:
        data = np.frombuffer(answer[header_length:], "<f4")
    return data.reshape(output["shape"])


def v1_json(tensor: Tensor) -> bytes:
    """Write rows as KServe's protocol v1."""
    return _json({"instances": _plain(tensor)})


def rows_json(tensor: Tensor) -> bytes:
    """Write rows as `{"inputs": [[...]]}`."""
    return _json({"inputs": _plain(tensor)})


def read_key(*keys: str) -> Callable[[bytes], Tensor]:
    """Return a reader of rows that stand under keys of the answer, the outermost first."""

    def read(answer: bytes) -> Tensor:
        return np.array(reduce(getitem, keys, json.loads(answer)), dtype=np.float32)

    return read


def read_list(answer: bytes) -> Tensor:
    """Read an answer that is a list of rows."""
    return np.array(json.loads(answer), dtype=np.float32)


def _plain(tensor: Tensor) -> list[list[float]]:
    rows: list[list[float]] = np.round(tensor.astype(float), 6).tolist()
    return rows


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()
