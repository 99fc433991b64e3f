"""Spoilt ModelInfer messages: INVALID_ARGUMENT with a reason, or the tensor as it came."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.message import DecodeError
from inference_server.grpc_api import schema

from .conftest import Server, Start, free_port
from .fuzzing import assert_unharmed, cases, descriptors
from .onnx_models import FLOAT, STRING, echo

METHOD = "/inference.GRPCInferenceService/ModelInfer"
Request = schema.message("inference.ModelInferRequest")
Response = schema.message("inference.ModelInferResponse")
REFUSALS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}


@pytest.fixture(scope="module")
def target(
    tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start
) -> Iterator[tuple[Server, Any]]:
    folder = tmp_path_factory.mktemp("repository")
    echo(folder / "fp32" / "1" / "model.onnx", FLOAT)
    echo(folder / "bytes" / "1" / "model.onnx", STRING)
    port = free_port()
    server = start_anywhere(
        folder, f"--grpc-port={port}", "--max-body-bytes=65536", "--log-sample-rate=0"
    )
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield server, channel.unary_unary(METHOD)


def whole(rng: random.Random) -> bytes:
    """A valid request."""
    count = rng.choice([1, 2, 5])
    raw: list[bytes] = []
    contents: dict[str, list[Any]] = {}
    if rng.random() < 0.5:
        model, datatype = "fp32", "FP32"
        values = [rng.uniform(-9, 9) for _ in range(count)]
        if rng.random() < 0.5:
            raw = [np.array(values, np.float32).tobytes()]
        else:
            contents = {"fp32_contents": values}
    else:
        model, datatype = "bytes", "BYTES"
        texts = [rng.choice(["", "a", "Grüße"]).encode() for _ in range(count)]
        if rng.random() < 0.5:
            raw = [b"".join(len(text).to_bytes(4, "little") + text for text in texts)]
        else:
            contents = {"bytes_contents": texts}
    tensor = {"name": "x", "datatype": datatype, "shape": [count], "contents": contents}
    if raw:
        del tensor["contents"]
    request = Request(
        model_name=model, id=rng.choice(["", "i"]), inputs=[tensor], raw_input_contents=raw
    )
    return request.SerializeToString()


def spoilt(rng: random.Random, message: bytes) -> bytes:
    """Some bytes changed, added, taken away or doubled."""
    content = bytearray(message)
    for _ in range(rng.choice([1, 1, 2, 4])):
        at, end = sorted(rng.randrange(len(content) + 1) for _ in range(2))
        change = rng.randrange(5)
        if change == 0 and at < len(content):
            content[at] ^= 1 << rng.randrange(8)
        elif change == 1:
            content[at:at] = rng.randbytes(rng.randrange(1, 4))
        elif change == 2:
            del content[at : at + rng.randrange(1, 4)]
        elif change == 3:
            content[at:at] = content[at:end]
        elif rng.random() < 0.2:
            del content[at:]
    return bytes(content)


def values(contents: Any, raw: Any) -> list[bytes]:
    """The values of the one tensor of a message, floats as their bytes."""
    listed = list(contents.bytes_contents)
    if contents.fp32_contents:
        listed.append(np.array(contents.fp32_contents, np.float32).tobytes())
    return listed + list(raw)


def ask(infer: Any, message: bytes) -> tuple[Any, grpc.StatusCode, str]:
    try:
        return Response.FromString(infer(message, timeout=10)), grpc.StatusCode.OK, ""
    except grpc.RpcError as error:
        return None, error.code(), error.details()


def check_answer(message: bytes, answer: Any) -> None:
    try:
        request = Request.FromString(message)
    except DecodeError:
        raise AssertionError("this is no message") from None
    (tensor,), (output,) = request.inputs, answer.outputs
    answered = values(output.contents, answer.raw_output_contents)
    assert answered == values(tensor.contents, request.raw_input_contents)
    assert answer.id == request.id
    assert (output.datatype, list(output.shape)) == (tensor.datatype, list(tensor.shape))


def test_a_spoilt_message_is_refused_or_answered_rightly(target: tuple[Server, Any]) -> None:
    server, infer = target
    infer(whole(random.Random(0)))
    before = descriptors(server)
    seen: Counter[str] = Counter()
    for case, rng in cases(1000, "grpc"):
        message = whole(rng)
        harmed = rng.random() < 0.9
        message = spoilt(rng, message) if harmed else message
        answer, code, details = ask(infer, message)
        try:
            if answer is None:
                assert code in REFUSALS
                assert harmed
                assert 0 < len(details) < 1000
            else:
                check_answer(message, answer)
        except AssertionError as error:
            raise AssertionError(f"{case}: {message!r}: {code} {details} {answer}") from error
        seen["answered" if answer is not None else "refused"] += 1
    assert seen["refused"] > 0.3 * seen.total()
    assert seen["answered"] > 0.1 * seen.total()
    assert_unharmed(server, before)
