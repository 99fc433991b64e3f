"""The binary tensor extension, spoken to a real server process."""

import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx import TensorProto

from .conftest import Server, Start
from .onnx_models import classifier, echo, pair

KINDS: dict[str, tuple[int, str]] = {
    "BOOL": (TensorProto.BOOL, "?"),
    "INT8": (TensorProto.INT8, "<i1"),
    "INT16": (TensorProto.INT16, "<i2"),
    "INT32": (TensorProto.INT32, "<i4"),
    "INT64": (TensorProto.INT64, "<i8"),
    "UINT8": (TensorProto.UINT8, "<u1"),
    "UINT16": (TensorProto.UINT16, "<u2"),
    "UINT32": (TensorProto.UINT32, "<u4"),
    "UINT64": (TensorProto.UINT64, "<u8"),
    "FP16": (TensorProto.FLOAT16, "<f2"),
    "BF16": (TensorProto.BFLOAT16, "<u2"),
    "FP32": (TensorProto.FLOAT, "<f4"),
    "FP64": (TensorProto.DOUBLE, "<f8"),
}
BINARY = {"parameters": {"binary_data_output": True}}


@pytest.fixture(scope="module")
def echoes(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    """One model for each datatype that answers as it was asked, `pair` and `flowers`."""
    folder = tmp_path_factory.mktemp("echoes")
    for name, (kind, _) in KINDS.items():
        echo(folder / name.lower() / "1" / "model.onnx", kind)
    echo(folder / "bytes" / "1" / "model.onnx", TensorProto.STRING)
    pair(folder / "pair" / "1" / "model.onnx")
    classifier(folder / "flowers" / "1" / "model.onnx")
    return start_anywhere(folder)


def send(
    server: Server, model: str, content: Any, data: bytes, length: Any = None
) -> httpx.Response:
    head = json.dumps(content).encode()
    headers = {
        "Content-Type": "application/octet-stream",
        "Inference-Header-Content-Length": str(len(head) if length is None else length),
    }
    return server.client.post(f"/v2/models/{model}/infer", content=head + data, headers=headers)


def tensor(datatype: str, count: int, size: Any, **changes: Any) -> dict[str, Any]:
    parameters = {"binary_data_size": size}
    return {
        "name": "x",
        "shape": [count],
        "datatype": datatype,
        "parameters": parameters,
        **changes,
    }


def split(answer: httpx.Response) -> tuple[dict[str, Any], list[bytes]]:
    """The JSON of an answer, and the bytes of each of its binary outputs."""
    assert answer.status_code == 200, answer.text
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    content, rest = json.loads(answer.content[:length]), answer.content[length:]
    parts = []
    for output in content["outputs"]:
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            assert "data" not in output
            parts.append(rest[:size])
            rest = rest[size:]
    assert not rest
    return content, parts


@pytest.mark.parametrize("datatype", KINDS)
def test_every_datatype_comes_back_bit_for_bit(echoes: Server, datatype: str) -> None:
    dtype = np.dtype(KINDS[datatype][1])
    data = bytes(range(2)) if datatype == "BOOL" else np.arange(250, 500).astype(dtype).tobytes()
    count = len(data) // dtype.itemsize
    content = {"inputs": [tensor(datatype, count, len(data))]} | BINARY
    answer, parts = split(send(echoes, datatype.lower(), content, data))
    assert parts == [data]
    assert answer["outputs"][0]["shape"] == [count]
    assert answer["outputs"][0]["datatype"] == datatype


@pytest.mark.parametrize("datatype", KINDS)
def test_every_datatype_is_the_same_in_json(echoes: Server, datatype: str) -> None:
    values = [True, False] if datatype == "BOOL" else [0, 1, 100]
    given = {"name": "x", "shape": [len(values)], "datatype": datatype, "data": values}
    answer = echoes.post(f"/v2/models/{datatype.lower()}/infer", {"inputs": [given]})
    assert answer.json()["outputs"][0] == given | {"name": "y"}


def test_nan_and_infinities_are_values_where_the_data_are_binary(echoes: Server) -> None:
    data = np.array([np.nan, np.inf, -np.inf], "<f4").tobytes()
    content = {"inputs": [tensor("FP32", 3, 12)]}
    assert split(send(echoes, "fp32", content | BINARY, data))[1] == [data]
    answer = send(echoes, "fp32", content, data)
    assert answer.json()["outputs"][0]["data"] == [None] * 3


def test_the_json_s_length_need_not_suit_the_tensor_s_alignment(echoes: Server) -> None:
    data = np.arange(3, dtype="<f8").tobytes()
    for padding in range(8):
        content = {"id": "i" * padding, "inputs": [tensor("FP64", 3, 24)]} | BINARY
        assert split(send(echoes, "fp64", content, data))[1] == [data]


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(words=st.lists(st.text(max_size=6), min_size=1, max_size=4))
def test_strings_have_their_lengths_before_them(echoes: Server, words: list[str]) -> None:
    data = b"".join(struct.pack("<I", len(w.encode())) + w.encode() for w in words)
    content = {"inputs": [tensor("BYTES", len(words), len(data))]}
    assert split(send(echoes, "bytes", content | BINARY, data))[1] == [data]
    assert send(echoes, "bytes", content, data).json()["outputs"][0]["data"] == words


def test_inputs_in_binary_and_in_json_may_be_mixed(echoes: Server) -> None:
    inputs = [
        {"name": "right", "shape": [2], "datatype": "INT64", "data": [1, 2]},
        tensor("FP32", 2, 8, name="left", shape=[2, 1]),
    ]
    answer = send(echoes, "pair", {"inputs": inputs}, np.array([0.5, 1.5], "<f4").tobytes())
    assert answer.json()["outputs"][0]["data"] == [1.5, 3.5]


def test_each_output_may_be_asked_for_in_its_own_form(echoes: Server) -> None:
    inputs = [
        {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [3, 1, 1]},
    ]
    outputs = [
        {"name": "probabilities", "parameters": {"binary_data": True}},
        {"name": "label"},
    ]
    answer = echoes.post("/v2/models/flowers/infer", {"inputs": inputs, "outputs": outputs})
    content, parts = split(answer)
    assert [output["name"] for output in content["outputs"]] == ["probabilities", "label"]
    assert np.frombuffer(parts[0], "<f4").sum() == pytest.approx(1)
    assert content["outputs"][1]["data"] == [1]
    outputs[1]["parameters"] = {"binary_data": False}
    content, parts = split(
        echoes.post("/v2/models/flowers/infer", {"inputs": inputs, "outputs": outputs} | BINARY)
    )
    assert len(parts) == 1


def raw(server: Server, model: str, data: bytes) -> httpx.Response:
    headers = {"Inference-Header-Content-Length": "0"}
    return server.client.post(f"/v2/models/{model}/infer", content=data, headers=headers)


def test_a_raw_body_is_the_only_input_and_its_size_the_batch(echoes: Server) -> None:
    rows = np.array([[3, 1, 1], [-3, -1, -1]], "<f4")
    content, parts = split(raw(echoes, "flowers", rows.tobytes()))
    assert content["outputs"][1]["shape"] == [2, 2]
    assert np.frombuffer(parts[0], "<i8").tolist() == [1, 0]


def test_a_raw_body_of_text_is_one_element(echoes: Server) -> None:
    _, parts = split(raw(echoes, "bytes", "größer".encode()))
    assert parts == [struct.pack("<I", 8) + "größer".encode()]


@pytest.mark.parametrize(
    ("model", "data", "reason"),
    [
        ("flowers", b"", "0 bytes do not make"),
        ("flowers", b"\0" * 13, "13 bytes do not make a tensor of [-1, 3]"),
        ("pair", b"\0" * 4, "several inputs"),
        ("bool", b"\2", "not 0 or 1"),
        ("bytes", b"\xff\xfe", "no UTF-8"),
    ],
)
def test_a_raw_body_that_does_not_fit_is_refused(
    echoes: Server, model: str, data: bytes, reason: str
) -> None:
    answer = raw(echoes, model, data)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


TWO = struct.pack("<I", 1) + b"a" + struct.pack("<I", 2) + b"bc"
WRONG: dict[str, tuple[str, dict[str, Any], bytes, str]] = {
    "too few bytes": ("fp32", tensor("FP32", 3, 8), b"\0" * 8, "8 bytes, but shape [3] of FP32"),
    "truncated": ("fp32", tensor("FP32", 3, 12), b"\0" * 8, "but 8 bytes are left"),
    "bytes left over": ("fp32", tensor("FP32", 2, 8), b"\0" * 12, "belong to no input"),
    "size as text": ("fp32", tensor("FP32", 1, "4"), b"\0" * 4, "no size in bytes"),
    "size as boolean": ("int8", tensor("INT8", 1, True), b"\0", "no size in bytes"),
    "negative size": ("fp32", tensor("FP32", 1, -4), b"\0" * 4, "no size in bytes"),
    "size beyond 64 bits": ("fp32", tensor("FP32", 1, 2**70), b"\0" * 4, "no size in bytes"),
    "huge size": ("fp32", tensor("FP32", 1, 2**62), b"\0" * 4, "4 bytes are left"),
    "huge shape": ("fp32", tensor("FP32", 2**62, 4), b"\0" * 4, "4 bytes, but shape"),
    "shape whose product wraps": (
        "flowers",
        tensor("FP32", 1, 0, name="features", shape=[2**62, 3]),
        b"",
        "0 bytes, but shape",
    ),
    "data as well": ("fp32", tensor("FP32", 1, 4, data=[1]), b"\0" * 4, "both 'data' and"),
    "boolean of another value": ("bool", tensor("BOOL", 1, 1), b"\2", "not 0 or 1"),
    "no UTF-8": ("bytes", tensor("BYTES", 1, 5), b"\1\0\0\0\xff", "no UTF-8"),
    "big-endian length": ("bytes", tensor("BYTES", 1, 5), b"\0\0\0\1a", "do not add up"),
    "length of half a word": ("bytes", tensor("BYTES", 1, 6), b"\1\0\0\0a\0", "do not add up"),
    "fewer elements": ("bytes", tensor("BYTES", 2, 5), TWO[:5], "do not add up"),
    "more elements": ("bytes", tensor("BYTES", 1, len(TWO)), TWO, "do not add up"),
    "billions of elements": ("bytes", tensor("BYTES", 2**40, 4), b"\0" * 4, "do not add up"),
}


@pytest.mark.parametrize(("model", "given", "data", "reason"), WRONG.values(), ids=WRONG.keys())
def test_binary_data_that_cannot_be_right_are_refused(
    echoes: Server, model: str, given: dict[str, Any], data: bytes, reason: str
) -> None:
    answer = send(echoes, model, {"inputs": [given]}, data)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert reason in answer.json()["error"]


@pytest.mark.parametrize("length", ["-1", "x", "1e1", "", "9" * 30, "100000", "3"])
def test_a_wrong_length_of_the_json_is_refused(echoes: Server, length: str) -> None:
    answer = send(echoes, "fp32", {"inputs": [tensor("FP32", 1, 4)]}, b"\0" * 4, length)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_binary_data_without_the_header_are_refused(echoes: Server) -> None:
    answer = echoes.post("/v2/models/fp32/infer", {"inputs": [tensor("FP32", 1, 4)]})
    assert answer.status_code == 400
    assert "Inference-Header-Content-Length" in answer.json()["error"]
