"""The Open Inference Protocol over gRPC, spoken to a real server process."""

import hashlib
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import numpy as np
import pytest
from inference_server.grpc_api import schema
from onnx import TensorProto

from .conftest import Server, Start, free_port, wait_until
from .onnx_models import FLOAT, INT64, STRING, classifier, echo, lookup, pair, slow

KEY = "correct horse"
SERVICE = "/inference.GRPCInferenceService/"
KINDS = {
    "bool": TensorProto.BOOL,
    "int8": TensorProto.INT8,
    "int16": TensorProto.INT16,
    "int32": TensorProto.INT32,
    "int64": INT64,
    "uint8": TensorProto.UINT8,
    "uint16": TensorProto.UINT16,
    "uint32": TensorProto.UINT32,
    "uint64": TensorProto.UINT64,
    "fp16": TensorProto.FLOAT16,
    "bf16": TensorProto.BFLOAT16,
    "fp32": FLOAT,
    "fp64": TensorProto.DOUBLE,
    "bytes": STRING,
}
DEPTH = 'inference_queue_depth{model_id="slow"}'
ACTIVE = "http_requests_active"
ROW = {"name": "features", "datatype": "FP32", "shape": [1, 3]}
LISTS = {"fp32_contents": [3, 1, 1]}


class Spoken(NamedTuple):
    """A server, and a channel to its gRPC port."""

    server: Server
    channel: grpc.Channel
    address: str

    def call(self, method: str, request: dict[str, Any] | bytes = b"", **more: Any) -> Any:
        """The answer of a method; raises grpc.RpcError."""
        if not isinstance(request, bytes):
            request = schema.message(f"inference.{method}Request")(**request).SerializeToString()
        answer = self.channel.unary_unary(SERVICE + method)(request, **{"timeout": 30} | more)
        return schema.message(f"inference.{method}Response").FromString(answer)

    def infer(self, model: str, *inputs: dict[str, Any], **more: Any) -> Any:
        options = {name: more.pop(name) for name in ("metadata", "timeout") if name in more}
        return self.call("ModelInfer", {"model_name": model, "inputs": inputs} | more, **options)


def speak(start: Start, repository: Path, *options: str) -> Spoken:
    port = free_port()
    server = start(repository, f"--grpc-port={port}", *options)
    return Spoken(server, grpc.insecure_channel(f"127.0.0.1:{port}"), f"127.0.0.1:{port}")


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Iterator[Spoken]:
    """Classifier, lookup, pair and an echo of each datatype."""
    folder = tmp_path_factory.mktemp("repository")
    classifier(folder / "flowers" / "2" / "model.onnx", scale=1)
    classifier(folder / "flowers" / "10" / "model.onnx", scale=2)
    lookup(folder / "lookup" / "1" / "model.onnx")
    pair(folder / "pair" / "1" / "model.onnx")
    for name, kind in KINDS.items():
        echo(folder / name / "1" / "model.onnx", kind)
    spoken = speak(start_anywhere, folder, "--max-body-bytes=65536")
    yield spoken
    spoken.channel.close()


def told(program: str, argument: str) -> Any:
    """What a client program of this folder printed, as JSON."""
    file = Path(__file__).with_name(f"{program}.py")
    done = subprocess.run(
        [sys.executable, file, argument], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


# Field numbers and types are compared with those of the client's own generated code.
def test_tritonclient_is_served_unchanged(spoken: Spoken) -> None:
    assert told("grpc_triton", spoken.address) == {
        "fields": {"wrong": [], "compared": 177},
        "live": True,
        "ready": True,
        "model ready": True,
        "server": "inference-server",
        "versions": ["2", "10"],
        "inputs": [["features", "FP32", -1, 3]],
        "config": "flowers",
        "counted": 2,
        "index": sorted(["flowers", "lookup", "pair", *KINDS]),
        "label": [1, 0],
        "id": "r-1",
        "outputs": ["label"],
        "returned": [name.upper() for name in KINDS if name != "bf16"],
    }


def test_kserve_s_client_is_served_unchanged(spoken: Spoken) -> None:
    expected = ["k-1", [1, 0], [2, 2]]
    assert told("grpc_kserve", spoken.address) == {
        "fields": {"wrong": [], "compared": 88},
        "live": True,
        "ready": True,
        "model ready": True,
        "lists": expected,
        "raw": expected,
    }


@pytest.mark.parametrize(
    ("datatype", "field", "values"),
    [
        ("BOOL", "bool_contents", [True, False]),
        ("INT8", "int_contents", [-128, 127]),
        ("INT16", "int_contents", [-(2**15), 2**15 - 1]),
        ("INT32", "int_contents", [-(2**31), 2**31 - 1]),
        ("INT64", "int64_contents", [-(2**63), 2**63 - 1]),
        ("UINT8", "uint_contents", [0, 255]),
        ("UINT16", "uint_contents", [0, 2**16 - 1]),
        ("UINT32", "uint_contents", [0, 2**32 - 1]),
        ("UINT64", "uint64_contents", [0, 2**64 - 1]),
        ("FP32", "fp32_contents", [0.5, -1.25]),
        ("FP64", "fp64_contents", [0.1, -1e300]),
        ("BYTES", "bytes_contents", [b"", "Grüße".encode()]),
    ],
)
def test_lists_come_back_as_lists(
    spoken: Spoken, datatype: str, field: str, values: list[Any]
) -> None:
    tensor = {"name": "x", "datatype": datatype, "shape": [2], "contents": {field: values}}
    answer = spoken.infer(datatype.lower(), tensor)
    assert list(getattr(answer.outputs[0].contents, field)) == values
    assert not answer.raw_output_contents


@pytest.mark.parametrize("datatype", ["FP16", "BF16"])
def test_half_floats_travel_as_raw_bytes(spoken: Spoken, datatype: str) -> None:
    content = b"\x00\x3c\x80\x3f"
    tensor = {"name": "x", "datatype": datatype, "shape": [2]}
    answer = spoken.infer(datatype.lower(), tensor, raw_input_contents=[content])
    assert list(answer.raw_output_contents) == [content]


def test_several_inputs_keep_their_order_in_raw_contents(spoken: Spoken) -> None:
    right = {"name": "right", "datatype": "INT64", "shape": [2]}
    left = {"name": "left", "datatype": "FP32", "shape": [2, 1]}
    content = [np.array([1, 2]).tobytes(), np.array([0.5, 0.25], np.float32).tobytes()]
    answer = spoken.infer("pair", right, left, raw_input_contents=content)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [1.5, 2.25]


def test_a_version_can_be_chosen(spoken: Spoken) -> None:
    row = ROW | {"contents": LISTS}
    assert spoken.infer("flowers", row).model_version == "10"
    assert spoken.infer("flowers", row, model_version="2").model_version == "2"


def test_metadata_are_headers_both_ways(spoken: Spoken) -> None:
    request = schema.message("inference.ModelInferRequest")(
        model_name="flowers", inputs=[ROW | {"contents": LISTS}]
    )
    _, call = spoken.channel.unary_unary(SERVICE + "ModelInfer").with_call(
        request.SerializeToString(), metadata=[("x-request-id", "abc-1")]
    )
    trailing = dict(call.trailing_metadata())
    assert trailing["x-request-id"] == "abc-1"
    assert trailing["x-model-version"] == "10"


def test_requests_are_counted_like_those_by_http(spoken: Spoken) -> None:
    sample = 'http_requests_total{endpoint="infer",method="POST",status="200"}'
    before = spoken.server.metric(sample) or 0
    spoken.infer("flowers", ROW | {"contents": LISTS})
    wait_until(lambda: spoken.server.metric(sample) == before + 1)


def test_kubernetes_health_probe_is_answered(spoken: Spoken) -> None:
    check = spoken.channel.unary_unary("/grpc.health.v1.Health/Check")
    assert check(b"") == b"\x08\x01"  # SERVING
    with pytest.raises(grpc.RpcError) as caught:
        check(b"\n\x04nope")
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


RAW = [np.ones(3, np.float32).tobytes()]
WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no input": ({}, "'features' is missing"),
    "unknown input": ({"inputs": [ROW | {"name": "nope"}]}, "unknown input 'nope'"),
    "twice": ({"inputs": [ROW, ROW]}, "given twice"),
    "wrong datatype": ({"inputs": [ROW | {"datatype": "FP64"}]}, "expected 'FP32'"),
    "negative shape": ({"inputs": [ROW | {"shape": [-1, 3]}]}, "no positive integer"),
    "zero shape": ({"inputs": [ROW | {"shape": [0, 3]}]}, "no positive integer"),
    "size beyond memory": (
        {"inputs": [ROW | {"shape": [2**62, 3]}], "raw_input_contents": RAW},
        "12 bytes, but shape",
    ),
    "rank": ({"inputs": [ROW | {"shape": [1] * 40}]}, "no positive integer"),
    "wrong dimension": ({"inputs": [ROW | {"shape": [3, 1]}]}, "does not fit [-1, 3]"),
    "no contents": ({"inputs": [ROW]}, "0 values, but shape [1, 3] holds 3"),
    "too few values": (
        {"inputs": [ROW | {"contents": {"fp32_contents": [1]}}]},
        "1 values, but shape [1, 3] holds 3",
    ),
    "another list": (
        {"inputs": [ROW | {"contents": {"fp64_contents": [1, 2, 3]}}]},
        "belongs in fp32_contents, not fp64_contents",
    ),
    "too few bytes": ({"inputs": [ROW], "raw_input_contents": [b"123"]}, "3 bytes, but shape"),
    "raw and lists": (
        {"inputs": [ROW | {"contents": LISTS}], "raw_input_contents": RAW},
        "contents beside raw_input_contents",
    ),
    "raw of another input": (
        {"inputs": [ROW], "raw_input_contents": RAW * 2},
        "2 raw_input_contents for 1 inputs",
    ),
    "unknown output": (
        {"inputs": [ROW], "raw_input_contents": RAW, "outputs": [{"name": "nope"}]},
        "unknown output 'nope'",
    ),
    "output twice": (
        {"inputs": [ROW], "raw_input_contents": RAW, "outputs": [{"name": "label"}] * 2},
        "asked for twice",
    ),
    "sequence": (
        {
            "inputs": [ROW],
            "raw_input_contents": RAW,
            "parameters": {"sequence_id": {"int64_param": 7}},
        },
        "sequences are not supported",
    ),
}


@pytest.mark.parametrize(("changes", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_an_invalid_argument_with_what_was_wrong(
    spoken: Spoken, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        spoken.call("ModelInfer", {"model_name": "flowers"} | changes)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert reason in caught.value.details()


def test_values_beyond_a_smaller_integer_are_refused(spoken: Spoken) -> None:
    tensor = {"name": "x", "datatype": "INT8", "shape": [1], "contents": {"int_contents": [128]}}
    with pytest.raises(grpc.RpcError, match="does not fit INT8"):
        spoken.infer("int8", tensor)


def test_text_that_is_no_utf8_is_refused(spoken: Spoken) -> None:
    contents = {"bytes_contents": [b"\xff"]}
    tensor = {"name": "x", "datatype": "BYTES", "shape": [1], "contents": contents}
    with pytest.raises(grpc.RpcError, match="no UTF-8"):
        spoken.infer("bytes", tensor)


@pytest.mark.parametrize(
    ("method", "request_", "code"),
    [
        ("ModelInfer", b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("ModelReady", b"\xff\xff\xff", grpc.StatusCode.INVALID_ARGUMENT),
        ("ModelInfer", {"model_name": "nope"}, grpc.StatusCode.NOT_FOUND),
        ("ModelMetadata", {"name": "nope"}, grpc.StatusCode.NOT_FOUND),
        ("ModelMetadata", {"name": "flowers/ready"}, grpc.StatusCode.NOT_FOUND),
        ("ModelMetadata", {"name": "flowers", "version": "../2"}, grpc.StatusCode.NOT_FOUND),
        ("ModelMetadata", {}, grpc.StatusCode.INVALID_ARGUMENT),
        ("ModelReady", {"name": "flowers", "version": "3"}, grpc.StatusCode.NOT_FOUND),
    ],
)
def test_each_error_has_its_status(
    spoken: Spoken, method: str, request_: Any, code: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        spoken.call(method, request_)
    assert caught.value.code() is code


def test_a_failing_model_discloses_nothing(spoken: Spoken) -> None:
    tensor = {"name": "x", "datatype": "FP32", "shape": [1], "contents": {"fp32_contents": [99]}}
    with pytest.raises(grpc.RpcError) as caught:
        spoken.infer("lookup", tensor)
    assert caught.value.code() is grpc.StatusCode.INTERNAL
    assert "Gather" not in caught.value.details()


def test_a_message_beyond_the_body_limit_is_refused(spoken: Spoken) -> None:
    tensor = {"name": "x", "datatype": "UINT8", "shape": [70_000]}
    with pytest.raises(grpc.RpcError) as caught:
        spoken.infer("uint8", tensor, raw_input_contents=[bytes(70_000)])
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_a_compressed_message_is_bounded_as_it_unpacks(spoken: Spoken) -> None:
    tensor = {"name": "x", "datatype": "UINT8", "shape": [10**7]}
    request = {"model_name": "uint8", "inputs": [tensor], "raw_input_contents": [bytes(10**7)]}
    with pytest.raises(grpc.RpcError) as caught:
        spoken.call("ModelInfer", request, compression=grpc.Compression.Gzip)
    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "Decompressed" in caught.value.details()


def test_keys_are_asked_for(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, start: Start
) -> None:
    file = tmp_path_factory.mktemp("keys") / "hashes"
    file.write_text(f"team:{hashlib.sha256(KEY.encode()).hexdigest()}\n")
    spoken = speak(start, repository, f"--api-key-hashes-file={file}")
    row = ROW | {"contents": LISTS}
    for metadata in ([("x-api-key", KEY)], [("authorization", f"Bearer {KEY}")]):
        assert spoken.infer("flowers", row, metadata=metadata).model_version == "10"
    assert spoken.call("ServerReady").ready
    for refused in (
        lambda: spoken.infer("flowers", row),
        lambda: spoken.infer("flowers", row, metadata=[("x-api-key", "wrong")]),
        lambda: spoken.call("ModelMetadata", {"name": "flowers"}),
    ):
        with pytest.raises(grpc.RpcError) as caught:
            refused()
        assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED


@pytest.fixture
def busy(tmp_path: Path, start: Start) -> Spoken:
    """A slow model that runs one request and lets two wait."""
    slow(tmp_path / "slow" / "1" / "model.onnx")
    (tmp_path / "slow" / "config.yaml").write_text("max_batch_size: 1\n")
    return speak(start, tmp_path, "--max-queue=2", "--drain-seconds=600")


def heavy(rows: int = 64) -> dict[str, Any]:
    """Takes about a second."""
    content = np.zeros((rows, 1200), np.float32).tobytes()
    tensor = {"name": "x", "datatype": "FP32", "shape": [rows, 1200]}
    return {"model_name": "slow", "inputs": [tensor], "raw_input_contents": [content]}


def test_the_client_s_deadline_is_the_request_s(busy: Spoken) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        busy.call("ModelInfer", heavy(), timeout=0.01)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    wait_until(lambda: busy.server.get("/v2/health/live").status_code == 200)


def test_a_timeout_parameter_is_a_deadline_too(busy: Spoken) -> None:
    patience = {"parameters": {"timeout": {"int64_param": 1000}}}  # microseconds
    with pytest.raises(grpc.RpcError, match="deadline has passed") as caught:
        busy.call("ModelInfer", heavy() | patience)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


def test_a_client_that_leaves_frees_its_place(tmp_path: Path, start: Start) -> None:
    slow(tmp_path / "slow" / "1" / "model.onnx", products=900)  # runs longer than this test
    busy = speak(start, tmp_path, "--drain-seconds=0", "--shutdown-seconds=1")
    infer = busy.channel.unary_unary(SERVICE + "ModelInfer").future
    request = schema.message("inference.ModelInferRequest")(**heavy(512)).SerializeToString()
    running = infer(request, timeout=60)
    wait_until(lambda: busy.server.metric(ACTIVE) == 2)  # and the one that asks for this
    leaving = infer(request, timeout=60)
    wait_until(lambda: busy.server.metric(ACTIVE) == 3 and busy.server.metric(DEPTH) == 1)
    leaving.cancel()
    wait_until(lambda: busy.server.metric(DEPTH) == 0)
    assert not running.done()


def test_a_full_queue_says_when_to_come_again(busy: Spoken) -> None:
    with ThreadPoolExecutor(8) as clients:
        calls = [clients.submit(busy.call, "ModelInfer", heavy()) for _ in range(8)]
    errors = [each.exception() for each in calls if each.exception()]
    assert errors
    assert len(errors) < 8
    for error in errors:
        assert isinstance(error, grpc.RpcError)
        assert error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
        trailing = dict(error.trailing_metadata())
        assert int(trailing["grpc-retry-pushback-ms"]) >= 1000
        status = schema.message("google.rpc.Status").FromString(trailing["grpc-status-details-bin"])
        info = schema.message("google.rpc.RetryInfo").FromString(status.details[0].value)
        assert info.retry_delay.seconds >= 1


def test_a_stop_drains(busy: Spoken) -> None:
    running = busy.channel.unary_unary(SERVICE + "ModelInfer").future(
        schema.message("inference.ModelInferRequest")(**heavy()).SerializeToString(), timeout=30
    )
    wait_until(lambda: busy.server.metric(ACTIVE) == 2)  # and the one that asks for this
    busy.server.process.send_signal(signal.SIGTERM)
    wait_until(lambda: not busy.call("ServerReady").ready)
    assert busy.channel.unary_unary("/grpc.health.v1.Health/Check")(b"") == b"\x08\x02"
    assert running.result()
    busy.server.process.send_signal(signal.SIGTERM)
    assert busy.server.process.wait(30) == 0


def test_several_workers_share_the_port(repository: Path, start: Start) -> None:
    spoken = speak(start, repository, "--workers=2")
    wait_until(lambda: sum("gRPC" in each["message"] for each in spoken.server.events()) == 2)
    for _ in range(8):
        with grpc.insecure_channel(spoken.address) as channel:
            fresh = spoken._replace(channel=channel)
            assert fresh.infer("flowers", ROW | {"contents": LISTS}).model_version == "10"
    assert spoken.server.stop() == 0


def test_without_a_port_nothing_of_grpc_is_loaded(server: Server) -> None:
    libraries = Path(f"/proc/{server.process.pid}/maps")
    if not libraries.exists():
        pytest.skip("no /proc to see a process's libraries in")
    assert "cygrpc" not in libraries.read_text()
    assert "onnxruntime" in libraries.read_text()


def test_a_taken_port_stops_the_start(spoken: Spoken, repository: Path) -> None:
    from .test_life_cycle import run

    port = spoken.address.rpartition(":")[2]
    ended = run(f"--model-repository={repository}", "--port=0", f"--grpc-port={port}")
    assert ended.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in ended.stderr
    assert "Traceback" not in ended.stderr
