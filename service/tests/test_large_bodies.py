"""Bodies of more than 64 KiB: read past the parser, or refused before they have come."""

from __future__ import annotations

import itertools
import json
import select
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest

from .conftest import PATIENCE, Server, Start, wait_until
from .onnx_models import FLOAT, classifier, echo, slow
from .test_connection import address, closed_after, post, read_answer

SMALL = b'{"instances": [[0.1, 0.2, 0.3]]}'
WIDTH = 1200
TENSOR = np.random.default_rng(1).random(300_000, np.float32)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    """A server of a model that echoes, one that is small, and one that is slow."""
    folder = tmp_path_factory.mktemp("large")
    echo(folder / "echo" / "1" / "model.onnx", FLOAT)
    classifier(folder / "flowers" / "1" / "model.onnx")
    slow(folder / "slow" / "1" / "model.onnx", WIDTH, products=120)
    (folder / "slow" / "config.yaml").write_text("max_queue: 1\n")
    return start_anywhere(folder, "--request-seconds=2", "--max-body-bytes=8000000")


@contextmanager
def connected(server: Server) -> Iterator[socket.socket]:
    with socket.create_connection(address(server), PATIENCE) as connection:
        yield connection


def infer(
    tensor: np.ndarray, model: str = "echo", declared: int | None = None, padding: int = 0
) -> bytes:
    """A v2 request with binary data that asks for binary data."""
    given = {
        "name": "x",
        "datatype": "FP32",
        "shape": list(tensor.shape),
        "parameters": {"binary_data_size": declared or tensor.nbytes},
    }
    content = {"inputs": [given], "parameters": {"binary_data_output": True}}
    head = json.dumps(content).encode() + b" " * padding
    length = f"Inference-Header-Content-Length: {len(head)}"
    return post(head + tensor.tobytes(), f"/v2/models/{model}/infer", length)


def echoed(headers: dict[str, str], body: bytes) -> np.ndarray:
    return np.frombuffer(body[int(headers["inference-header-content-length"]) :], np.float32)


@pytest.mark.parametrize("cut", [50, 170, 400, 70_000, 600_000, 1_200_000, -1])
def test_a_large_tensor_arrives_whole_in_whatever_pieces(large: Server, cut: int) -> None:
    request, buffer = infer(TENSOR), bytearray()
    with connected(large) as connection:
        for _ in range(2):
            connection.sendall(request[:cut])
            time.sleep(0.02)  # so that the pieces arrive apart
            connection.sendall(request[cut:])
            status, headers, body = read_answer(connection, buffer)
            assert status == 200
            np.testing.assert_array_equal(echoed(headers, body), TENSOR)


@pytest.mark.parametrize("seed", range(8))
def test_several_requests_cut_anywhere_are_each_answered_in_order(large: Server, seed: int) -> None:
    random = np.random.default_rng(seed)
    sizes = [int(size) for size in random.integers(10, 120_000, 6)]
    tensors = [random.random(size, np.float32) for size in sizes]
    stream = b"".join(map(infer, tensors))
    cuts = [0, *sorted(random.integers(1, len(stream), 24).tolist()), len(stream)]

    def send(connection: socket.socket) -> None:
        for start, end in itertools.pairwise(cuts):
            connection.sendall(stream[start:end])
            time.sleep(0.002)  # so that the pieces arrive apart

    buffer = bytearray()
    with connected(large) as connection, ThreadPoolExecutor() as pool:
        sent = pool.submit(send, connection)
        for tensor in tensors:
            status, headers, body = read_answer(connection, buffer)
            assert status == 200
            np.testing.assert_array_equal(echoed(headers, body), tensor)
        sent.result(PATIENCE)


def test_connections_that_wait_for_more_keep_nothing_of_what_they_sent(large: Server) -> None:
    def resident() -> int:
        return int(Path(f"/proc/{large.process.pid}/statm").read_text().split()[1]) * 4096

    with ExitStack() as stack:
        for number in range(48):
            connection = stack.enter_context(connected(large))
            connection.sendall(infer(TENSOR))
            assert read_answer(connection, bytearray())[0] == 200
            if number == 15:
                before = resident()
        assert resident() - before < 16 * TENSOR.nbytes


def test_requests_behind_a_large_one_are_answered_in_order(large: Server) -> None:
    flowers = post(SMALL, "/v1/models/flowers:predict", "X-Request-ID: flowers")
    buffer = bytearray()
    with connected(large) as connection, ThreadPoolExecutor() as pool:
        sent = pool.submit(connection.sendall, (infer(TENSOR) + flowers) * 2)
        answers = [read_answer(connection, buffer) for _ in range(4)]
        sent.result(PATIENCE)
    assert [status for status, _, _ in answers] == [200] * 4
    for number in (0, 2):
        np.testing.assert_array_equal(echoed(*answers[number][1:]), TENSOR)
        assert answers[number + 1][1]["x-request-id"] == "flowers"


def test_a_large_body_may_be_nothing_but_the_tensor(large: Server) -> None:
    length = "Inference-Header-Content-Length: 0"
    with connected(large) as connection:
        connection.sendall(post(TENSOR.tobytes(), "/v2/models/echo/infer", length))
        status, headers, body = read_answer(connection, bytearray())
    assert status == 200
    np.testing.assert_array_equal(echoed(headers, body), TENSOR)


@pytest.mark.parametrize("head", ["9" * 7, "9" * 30, "-1", "x"])
def test_a_wrong_length_of_the_json_is_a_400(large: Server, head: str) -> None:
    length = f"Inference-Header-Content-Length: {head}"
    with connected(large) as connection:
        connection.sendall(post(TENSOR.tobytes(), "/v2/models/echo/infer", length))
        status, _, body = read_answer(connection, bytearray())
    assert status == 400
    assert "Inference-Header-Content-Length" in json.loads(body)["error"]


def test_a_wrong_size_of_the_data_is_a_400_and_the_connection_is_kept(large: Server) -> None:
    buffer = bytearray()
    with connected(large) as connection:
        connection.sendall(infer(TENSOR, declared=TENSOR.nbytes - 4))
        assert read_answer(connection, buffer)[0] == 400
        connection.sendall(infer(TENSOR))
        assert read_answer(connection, buffer)[0] == 200


def test_much_json_before_the_data_may_come_in_any_number_of_pieces(large: Server) -> None:
    request = infer(TENSOR, padding=400_000)
    pieces = [request[start : start + 1000] for start in range(0, len(request), 1000)]
    with connected(large) as connection, ThreadPoolExecutor() as pool:
        sent = pool.submit(lambda: [connection.sendall(piece) for piece in pieces])
        status, headers, body = read_answer(connection, bytearray())
        sent.result(PATIENCE)
    assert status == 200
    np.testing.assert_array_equal(echoed(headers, body), TENSOR)


def test_json_that_is_nested_too_deep_before_the_data_is_a_400(large: Server) -> None:
    head = b"[" * 100 + b"]" * 100
    length = f"Inference-Header-Content-Length: {len(head)}"
    with connected(large) as connection:
        connection.sendall(post(head + TENSOR.tobytes(), "/v2/models/echo/infer", length))
        status, _, body = read_answer(connection, bytearray())
    assert (status, "nested" in json.loads(body)["error"]) == (400, True)


def test_a_large_body_that_does_not_arrive_is_a_408(large: Server) -> None:
    with connected(large) as connection:
        connection.sendall(infer(TENSOR)[:200_000])
        assert closed_after(connection).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_leaves_in_the_middle_of_a_large_body_is_counted(large: Server) -> None:
    sample = 'http_requests_total{endpoint="infer",method="POST",status="499"}'
    before = large.metric(sample) or 0
    with connected(large) as connection:
        connection.sendall(infer(TENSOR)[:200_000])
    wait_until(lambda: large.metric(sample) == before + 1)


@pytest.fixture
def crowded(large: Server) -> Iterator[Server]:
    """The slow model while it runs one request and another waits."""
    request = infer(np.zeros((1000, WIDTH), np.float32), "slow")
    taken: list[socket.socket] = []
    with ExitStack() as stack:
        while len(taken) < 2:
            connection = stack.enter_context(connected(large))
            connection.sendall(request)
            refused, _, _ = select.select([connection], [], [], 0.3)
            if not refused:  # the first was, if no thread had taken it yet
                taken.append(connection)
        yield large
    depth = 'inference_queue_depth{model_id="slow"}'
    wait_until(lambda: not large.metric(depth) and large.metric("http_requests_active") == 1)


def test_a_full_queue_refuses_before_the_body_has_come(crowded: Server) -> None:
    request, buffer = infer(np.zeros((100, WIDTH), np.float32), "slow"), bytearray()
    with connected(crowded) as connection:
        connection.sendall(request[:70_000])
        status, headers, _ = read_answer(connection, buffer)
        assert status == 429
        assert int(headers["retry-after"]) >= 1
        assert headers["x-request-id"]
        connection.sendall(request[70_000:] + infer(TENSOR))
        status, headers, body = read_answer(connection, buffer)
        assert status == 200
        np.testing.assert_array_equal(echoed(headers, body), TENSOR)


def test_a_refused_client_that_never_sends_the_rest_is_left(crowded: Server) -> None:
    with connected(crowded) as connection:
        connection.sendall(infer(np.zeros((100, WIDTH), np.float32), "slow")[:70_000])
        assert closed_after(connection).count(b"HTTP/1.1 ") == 1
