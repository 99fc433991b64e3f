"""Open Inference Protocol v2, spoken to a real server process."""

from typing import Any

import pytest

from .conftest import Server

INFER = "/v2/models/flowers/infer"


def request(data: Any = (3, 1, 1), **changes: Any) -> dict[str, Any]:
    tensor = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": list(data)}
    return {"inputs": [tensor | changes]}


def test_server_says_who_it_is(server: Server) -> None:
    answer = server.get("/v2").json()
    assert answer["name"] == "inference-server"
    assert "binary_tensor_data" in answer["extensions"]


def test_server_is_live_and_ready(server: Server) -> None:
    assert server.get("/v2/health/live").json() == {"live": True}
    assert server.get("/v2/health/ready").json() == {"ready": True}


def test_metadata_is_the_signature_of_the_onnx_file(server: Server) -> None:
    answer = server.get("/v2/models/flowers").json()
    assert answer["versions"] == ["2", "10"]
    assert answer["inputs"] == [{"name": "features", "datatype": "FP32", "shape": [-1, 3]}]
    assert answer["outputs"][0] == {"name": "label", "datatype": "INT64", "shape": [-1]}


def test_highest_version_answers_by_default(server: Server) -> None:
    answer = server.post(INFER, request())
    assert answer.json()["model_version"] == answer.headers["x-model-version"] == "10"


def test_a_version_can_be_chosen(server: Server) -> None:
    answer = server.post("/v2/models/flowers/versions/2/infer", request((0.1, 0, 0)))
    assert answer.json()["model_version"] == "2"
    other = server.post(INFER, request((0.1, 0, 0)))
    assert answer.json()["outputs"][1]["data"] != other.json()["outputs"][1]["data"]


@pytest.mark.parametrize(
    "path", ["/v2/models/flowers/ready", "/v2/models/flowers/versions/2/ready"]
)
def test_a_model_version_is_ready(server: Server, path: str) -> None:
    assert server.get(path).json() == {"name": "flowers", "ready": True}


def test_outputs_come_in_the_model_s_order_with_their_shapes(server: Server) -> None:
    content = request(data=[[1, 1, 1], [-1, -1, -1]], shape=[2, 3])
    outputs = server.post(INFER, content).json()["outputs"]
    assert outputs[0] == {"name": "label", "datatype": "INT64", "shape": [2], "data": [1, 0]}
    assert outputs[1]["shape"] == [2, 2]
    assert sum(outputs[1]["data"]) == pytest.approx(2)


def test_flat_and_nested_data_mean_the_same(server: Server) -> None:
    flat = server.post(INFER, request([1, 2, 3, 4, 5, 6], shape=[2, 3])).json()
    nested = server.post(INFER, request([[1, 2, 3], [4, 5, 6]], shape=[2, 3])).json()
    assert flat == nested


def test_only_the_outputs_asked_for_are_answered(server: Server) -> None:
    content = request() | {"outputs": [{"name": "probabilities"}]}
    outputs = server.post(INFER, content).json()["outputs"]
    assert [output["name"] for output in outputs] == ["probabilities"]


def test_id_is_echoed_only_if_given(server: Server) -> None:
    assert server.post(INFER, request() | {"id": "a-1"}).json()["id"] == "a-1"
    assert "id" not in server.post(INFER, request()).json()


def test_parameters_that_ask_for_nothing_special_are_accepted(server: Server) -> None:
    content = request(parameters={"binary_data": False}) | {"parameters": {"priority": 1}}
    assert server.post(INFER, content).status_code == 200


def test_request_id_is_kept(server: Server) -> None:
    answer = server.post(INFER, request(), headers={"X-Request-ID": "abc-1"})
    assert answer.headers["x-request-id"] == "abc-1"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\tb"])
def test_request_id_that_could_forge_a_log_is_replaced(server: Server, given: str) -> None:
    answer = server.post(INFER, request(), headers={"X-Request-ID": given})
    assert answer.status_code == 200
    assert len(answer.headers["x-request-id"]) == 32


WRONG: dict[str, tuple[Any, str]] = {
    "not an object": ([], "no JSON object"),
    "no inputs": ({}, "'inputs' is missing"),
    "inputs is no array": ({"inputs": {}}, "'inputs' is missing or no array"),
    "input without a name": ({"inputs": [{}]}, "no object with a 'name'"),
    "input is a number": ({"inputs": [1]}, "no object with a 'name'"),
    "no input at all": ({"inputs": []}, "'features' is missing"),
    "unknown input": (request(name="feature"), "unknown input 'feature'"),
    "input given twice": ({"inputs": request()["inputs"] * 2}, "given twice"),
    "wrong datatype": (request(datatype="FP64"), "expected 'FP32'"),
    "missing datatype": (request(datatype=None), "expected 'FP32'"),
    "missing shape": (request(shape=None), "'shape' is missing"),
    "shape of strings": (request(shape=["1", "3"]), "no positive integer"),
    "shape of booleans": (request(shape=[True, 3]), "no positive integer"),
    "negative shape": (request(shape=[-1, 3]), "no positive integer"),
    "zero shape": (request([], shape=[0, 3]), "no positive integer"),
    "size beyond memory": (request(shape=[2**62, 3]), "values, but shape"),
    "size beyond 64 bits": (request(shape=[2**80, 3]), "no positive integer"),
    "rank too high": (request(shape=[1] * 40), "'shape' is missing or no array"),
    "rank too low": (request(shape=[3]), "does not fit [-1, 3]"),
    "wrong fixed dimension": (request([1, 2], shape=[1, 2]), "does not fit [-1, 3]"),
    "too few values": (request([1, 2]), "2 values, but shape [1, 3] holds 3"),
    "too many values": (request([1, 2, 3, 4]), "4 values"),
    "ragged rows": (request([[1, 2, 3], [4]], shape=[2, 3]), "not nested like"),
    "too many rows": (request([[1, 2, 3], [4, 5, 6]]), "2 rows"),
    "rows and values mixed": (request([[1, 2, 3], 4], shape=[2, 3]), "mixed"),
    "nested too deep": (request([[[1], [2], [3]]]), "an array in the data"),
    "data is a string": (
        request() | {"inputs": [request()["inputs"][0] | {"data": "123"}]},
        "'data' is a string",
    ),
    "data is missing": (
        {"inputs": [{"name": "features", "shape": [1, 3], "datatype": "FP32"}]},
        "'data' is null",
    ),
    "null in the data": (request([1, None, 3]), "null in the data"),
    "string in the data": (request([1, "2", 3]), "a string in the data"),
    "boolean in the data": (request([1, True, 3]), "a boolean in the data"),
    "object in the data": (request([1, {}, 3]), "an object in the data"),
    "too large for FP32": (request([1e300, 2, 3]), "does not fit FP32"),
    "id is a number": (request() | {"id": 7}, "'id' is no string"),
    "parameters is an array": (request() | {"parameters": []}, "'parameters' is no object"),
    "data and binary data": (request(parameters={"binary_data_size": 12}), "both 'data' and"),
    "unknown output": (request() | {"outputs": [{"name": "nope"}]}, "unknown output 'nope'"),
    "output asked twice": (request() | {"outputs": [{"name": "label"}] * 2}, "asked for twice"),
    "outputs is an object": (request() | {"outputs": {"name": "label"}}, "no array"),
    "outputs is false": (request() | {"outputs": False}, "no array"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_refused_with_what_was_wrong(
    server: Server, content: Any, reason: str
) -> None:
    answer = server.post(INFER, content)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert reason in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"nope",
        b'{"inputs": [NaN]}',
        b'{"inputs": Infinity}',
        b"\xff\xfe",
        b"[" * 60,
        b'{"inputs": [1e999]}',
    ],
)
def test_what_is_no_json_is_refused(server: Server, body: bytes) -> None:
    answer = server.post(INFER, body)
    assert answer.status_code == 400
    assert "no JSON" in answer.json()["error"]


def test_json_that_is_nested_too_deep_is_refused(server: Server) -> None:
    answer = server.post(INFER, b"[" * 5000)
    assert answer.status_code == 400
    assert answer.json()["error"] == "the JSON is nested deeper than 64"


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "text/plain", "Inference-Header-Content-Length": "2"},
    ],
)
def test_a_body_in_another_form_is_refused(server: Server, headers: dict[str, str]) -> None:
    answer = server.post(INFER, b"{}", headers=headers)
    assert answer.status_code == 415
    assert answer.json()["error"]


def test_a_body_that_says_it_is_too_large_is_refused(server: Server) -> None:
    answer = server.post(INFER, b" " * 70_000)
    assert answer.status_code == 413
    assert "65536" in answer.json()["error"]


def test_a_body_that_turns_out_too_large_is_refused(server: Server) -> None:
    headers = {"Content-Type": "application/json"}
    answer = server.client.post(INFER, content=iter([b" " * 40_000] * 2), headers=headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("/v2/models/nope/infer", "unknown model 'nope'"),
        ("/v2/models/flowers/versions/3/infer", "no version '3'"),
        ("/v2/models/flowers/versions/latest/infer", "no version 'latest'"),
        ("/v2/models/flowers/versions/-1/infer", "no version"),
    ],
)
def test_an_unknown_model_or_version_is_not_found(server: Server, path: str, reason: str) -> None:
    answer = server.post(path, request())
    assert answer.status_code == 404
    assert reason in answer.json()["error"]
    assert server.get(path.removesuffix("/infer")).status_code == 404


def test_a_wrong_method_is_refused_in_the_protocol_s_form(server: Server) -> None:
    answer = server.get(INFER)
    assert answer.status_code == 405
    assert answer.json() == {"error": "Method Not Allowed"}
