"""Whether a server answers right, before it is measured."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import onnxruntime

from service.bench import bodies
from service.bench.load import Request
from service.bench.places import BenchError
from service.bench.process import Running

_TOLERANCE = 1e-4


def expected(model: object, tensor: np.ndarray) -> np.ndarray:
    """Return what ONNX Runtime itself says."""
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    found: np.ndarray = session.run(None, {session.get_inputs()[0].name: tensor})[0]
    return found


def right(
    server: Running, request: Request, read: Callable[[bytes], np.ndarray], wanted: np.ndarray
) -> bytes:
    """Ask until it answers, and return the answer; raises BenchError if it is wrong."""
    until, said = time.monotonic() + 20, ""
    while time.monotonic() < until:
        try:
            body, length = _ask(server, request)
        except urllib.error.HTTPError as error:
            said = f"status {error.code}: {error.read()[:300]!r}"
        except OSError as error:
            said = str(error)
        else:
            found = bodies.read_v2(body, length) if length else read(body)
            if found.shape == wanted.shape and np.allclose(found, wanted, atol=_TOLERANCE):
                return body
            raise BenchError(f"wrong answer {body[:300]!r}, expected {wanted.ravel()[:4]}")
        time.sleep(0.2)
    raise BenchError(f"no answer to {request.path}: {said}\n{server.said()}")


def exact(server: Running, request: Request, wanted: np.ndarray) -> Request:
    """Check ours by v2, and return the request with the answer that every one has to equal."""
    body = right(server, request, bodies.read_v2, wanted)
    return replace(request, answers=(body,))


def _ask(server: Running, request: Request) -> tuple[bytes, int | None]:
    headers = {"Content-Type": "application/json", **request.headers}
    asked = urllib.request.Request(
        f"http://{server.address}{request.path}", request.body, headers, method="POST"
    )
    with urllib.request.urlopen(asked, timeout=30) as answer:
        length = answer.headers.get("Inference-Header-Content-Length")
        return answer.read(), int(length) if length else None
