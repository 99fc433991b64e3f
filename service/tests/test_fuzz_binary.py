"""Spoilt v2 requests: a 4xx that says why, or the answer ONNX Runtime gives; nothing else."""

import json
import math
import socket
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .binary_requests import (
    DTYPES,
    Meaning,
    MeaninglessError,
    Oracle,
    Sent,
    meaning,
    request,
    write_models,
)
from .conftest import Server, Start
from .fuzzing import assert_unharmed, cases, descriptors
from .wire import Reply, parse

REFUSALS = {400, 413, 415}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("repository")
    write_models(repository)
    return repository


@pytest.fixture(scope="module")
def target(folder: Path, start_anywhere: Start) -> Server:
    return start_anywhere(folder, "--max-body-bytes=65536", "--log-sample-rate=0")


class Connection:
    """One connection that is opened again where the server has closed it."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.socket: socket.socket | None = None

    def ask(self, content: bytes) -> Reply:
        if self.socket is None:
            self.socket = socket.create_connection(("127.0.0.1", self.port), 10)
        self.socket.sendall(content)
        received = b""
        while True:
            part = self.socket.recv(1 << 18)
            received += part
            replies, rest = parse(received)
            if replies:
                assert (len(replies), rest) == (1, b"")
                if replies[0].header(b"connection") == b"close":
                    self.close()
                return replies[0]
            assert part, f"closed without an answer, after {received!r}"

    def close(self) -> None:
        if self.socket is not None:
            self.socket.close()
        self.socket = None


def check_refusal(reply: Reply) -> None:
    assert reply.status in REFUSALS
    content = json.loads(reply.body)
    assert list(content) == ["error"]
    assert 0 < len(content["error"]) < 1000
    assert "Traceback" not in content["error"]


def check_answer(reply: Reply, asked: Meaning, expected: dict[str, np.ndarray]) -> None:
    length = reply.header(b"inference-header-content-length")
    text = reply.body if length is None else reply.body[: int(length)]
    tail = b"" if length is None else reply.body[int(length) :]
    content = json.loads(text, parse_constant=pytest.fail)
    assert content.get("id") == asked.id
    assert [each["name"] for each in content["outputs"]] == asked.outputs
    for output in content["outputs"]:
        right = expected[output["name"]]
        assert output["shape"] == list(right.shape)
        size = output.get("parameters", {}).get("binary_data_size")
        assert (size is not None) == (output["name"] in asked.binary)
        if size is None:
            check_json(output, right)
        else:
            part, tail = tail[:size], tail[size:]
            check_bytes(output, part, right)
    assert tail == b""


def check_json(output: dict[str, Any], right: np.ndarray) -> None:
    data = output["data"]
    assert len(data) == right.size
    if right.dtype.kind == "f":
        finite = [float(v) if math.isfinite(v) else None for v in right.ravel()]
        answered = [None if v is None else float(right.dtype.type(v)) for v in data]
        assert answered == finite
    else:
        assert data == right.ravel().tolist()


def check_bytes(output: dict[str, Any], part: bytes, right: np.ndarray) -> None:
    if right.dtype.kind == "O":
        texts = [text.encode() for text in right.ravel()]
        assert part == b"".join(len(text).to_bytes(4, "little") + text for text in texts)
    else:
        assert part == right.astype(DTYPES[output["datatype"]]).tobytes()


def test_a_spoilt_request_is_refused_or_answered_rightly(target: Server, folder: Path) -> None:
    oracle = Oracle(folder)
    before = descriptors(target)
    connection = Connection(target.client.base_url.port)
    seen: Counter[str] = Counter()
    for case, rng in cases(3000, "binary"):
        sent = request(rng)
        try:
            judge(sent, connection.ask(sent.wire()), oracle, seen)
        except Exception as error:
            story = f"{case}: {sent.spoilt}\n{sent.headers}\n{sent.body[:600]!r}\n{error}"
            raise AssertionError(story) from error
    connection.close()
    assert seen["whole"] > 0.05 * seen.total()
    assert seen["refused"] > 0.3 * seen.total()
    assert seen["answered though spoilt"] > 0.1 * seen.total()
    assert_unharmed(target, before)


def judge(sent: Sent, reply: Reply, oracle: Oracle, seen: Counter[str]) -> None:
    """Hold a reply against the request's meaning."""
    if reply.status == 504:
        assert "some_parameter" in sent.spoilt, "late, but no timeout was asked for"
        return
    if reply.status != 200:
        check_refusal(reply)
        assert sent.spoilt, reply.body
        seen["refused"] += 1
        return
    seen["answered though spoilt" if sent.spoilt else "whole"] += 1
    try:
        asked = meaning(sent, oracle.outputs[sent.model])
    except MeaninglessError:
        raise AssertionError(f"a wrong 200: {reply.body[:300]!r}") from None
    check_answer(reply, asked, oracle.run(sent.model, asked.feeds))
