"""A wrong request gets a 4xx that says what was wrong: never a 5xx, never a wrong 200."""

from typing import Any

import pytest

from .conftest import Server

INFER = "/v2/models/flowers/infer"
ROW = [3, 1, 1]
TENSOR = {"name": "features", "shape": [1, 3], "datatype": "FP32", "data": ROW}
TEXT = '{"name": "features", "shape": [1, 3], "datatype": "FP32", "data": [3, 1, 1]}'


def request(**more: Any) -> dict[str, Any]:
    return {"inputs": [TENSOR], **more}


def tensor(**changes: Any) -> dict[str, Any]:
    return {"inputs": [TENSOR | changes]}


REPEATED: dict[str, str] = {
    "id": f'{{"id": "a", "id": "b", "inputs": [{TEXT}]}}',
    "inputs": f'{{"inputs": [], "inputs": [{TEXT}]}}',
    "datatype": f'{{"inputs": [{TEXT[:-1]}, "datatype": "FP32"}}]}}',
    "data": f'{{"inputs": [{TEXT[:-1]}, "data": [-3, -1, -1]}}]}}',
    "escaped": f'{{"\\u0069d": "a", "id": "b", "inputs": [{TEXT}]}}',
    "behind a colon in a string": f'{{"id": "a:b", "inputs": [{TEXT}], "inputs": [{TEXT}]}}',
    "parameters": f'{{"parameters": {{"a": 1, "a": 2}}, "inputs": [{TEXT}]}}',
    "unknown": f'{{"x": {{"a": 1, "a": 2}}, "inputs": [{TEXT}]}}',
}


@pytest.mark.parametrize("body", REPEATED.values(), ids=REPEATED.keys())
def test_a_key_that_stands_twice_is_refused(server: Server, body: str) -> None:
    answer = server.post(INFER, body)
    assert answer.status_code == 400
    assert "stands twice" in answer.json()["error"]


@pytest.mark.parametrize(
    "body",
    ['{"instances": [[3, 1, 1]], "instances": [[3, 1, 1]]}', '{"instances": [{"a": 1, "a": 2}]}'],
)
def test_a_key_that_stands_twice_is_refused_by_predict_too(server: Server, body: str) -> None:
    answer = server.post("/predict", body)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


def test_a_timeout_that_is_over_is_a_missed_deadline(server: Server) -> None:
    answer = server.post(INFER, request(parameters={"timeout": 1, "priority": 2}))
    assert answer.status_code == 504
    later = request(parameters={"timeout": 10_000_000, "priority": 0})
    assert server.post(INFER, later).status_code == 200


@pytest.mark.parametrize("identity", ["a:b", 'a"b', "\\u003a", "ä", "", "x" * 1000])
def test_an_id_may_be_any_text(server: Server, identity: str) -> None:
    assert server.post(INFER, request(id=identity)).json()["id"] == identity


WRONG: dict[str, tuple[Any, str]] = {
    "id is an array": (request(id=[]), "'id' is no string"),
    "id is a boolean": (request(id=False), "'id' is no string"),
    "parameters is text": (request(parameters="a"), "'parameters' is no object"),
    "parameter is an object": (request(parameters={"a": {}}), "'a' is no string, number or"),
    "parameter is null": (request(parameters={"a": None}), "'a' is no string, number or"),
    "output form is no boolean": (
        request(parameters={"binary_data_output": "yes"}),
        "is no boolean",
    ),
    "priority as text": (request(parameters={"priority": "1"}), "'priority' is no count"),
    "negative timeout": (request(parameters={"timeout": -1}), "'timeout' is no count"),
    "timeout of a fraction": (request(parameters={"timeout": 0.5}), "'timeout' is no count"),
    "sequence": (request(parameters={"sequence_id": "s"}), "sequences are not supported"),
    "sequence start": (request(parameters={"sequence_start": True}), "sequences are not"),
    "shared memory": (
        tensor(parameters={"shared_memory_region": "r"}),
        "shared memory is not supported",
    ),
    "classification": (
        request(outputs=[{"name": "label", "parameters": {"classification": 2}}]),
        "classification extension is not",
    ),
    "output's parameters is a number": (
        request(outputs=[{"name": "label", "parameters": 1}]),
        "'parameters' is no object",
    ),
    "output without a name": (request(outputs=[{}]), "no object with a 'name'"),
    "outputs is text": (request(outputs="label"), "no array"),
    "shape is a number": (tensor(shape=3), "'shape' is missing"),
    "shape of floats": (tensor(shape=[1.0, 3.0]), "no positive integer"),
    "shape that is nearly known": (tensor(shape=[True, 3]), "no positive integer"),
    "shape of null": (tensor(shape=[None, 3]), "no positive integer"),
    "shape of arrays": (tensor(shape=[[1], 3]), "no positive integer"),
    "product beyond 64 bits": (tensor(shape=[2**63, 3]), "values, but shape"),
    "no dimensions": (tensor(shape=[]), "does not fit [-1, 3]"),
    "datatype in lower case": (tensor(datatype="fp32"), "expected 'FP32'"),
    "datatype is an object": (tensor(datatype={}), "expected 'FP32'"),
    "datatype is long": (tensor(datatype="x" * 9999), "datatype 'xxxxxxxxxxxxxxxx'"),
    "name is long": (tensor(name="x" * 9999), "unknown input"),
    "data is an object": (tensor(data={"0": 1}), "'data' is an object"),
    "data of another depth": (tensor(data=[[[3, 1, 1]]]), "not nested like shape [1, 3]"),
    "data one row too many": (tensor(data=[ROW, ROW]), "2 rows"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_refused_with_what_was_wrong(
    server: Server, content: Any, reason: str
) -> None:
    server.post(INFER, request())  # so that the right shape is known
    answer = server.post(INFER, content)
    assert answer.status_code == 400
    assert list(answer.json()) == ["error"]
    assert reason in answer.json()["error"]
    assert len(answer.content) < 600


@pytest.mark.parametrize("path", [INFER, "/predict", "/v1/models/flowers:predict"])
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b'"inputs"',
        b"{}",
        b'{"inputs": [{"name": "\xff"}]}',
        b'{"inputs": "\\ud800"}',
        b"[" * 100_00,
        b'{"instances": ' + b"[" * 60 + b"]" * 60 + b"}",
        b'{"instances": [[1, 2, 3]}',
        b'{"instances": [[1, 2, NaN]]}',
        b'{"instances": [[1, 2, 1e400]]}',
        b'\xef\xbb\xbf{"instances": [[1, 2, 3]]}',
        '{"instances": [[1, 2, 3]]}'.encode("utf-16"),
        b'{"instances": [[1, 2, 03]]}',
        b'{"instances": [[1, 2, 3],]}',
        b'{"instances": [[1, 2, 3]]} x',
    ],
)
def test_a_body_that_cannot_be_read_is_refused_in_the_protocol_s_form(
    server: Server, path: str, body: bytes
) -> None:
    answer = server.post(path, body)
    assert answer.status_code == 400
    form = "application/json" if path == INFER else "application/problem+json"
    assert answer.headers["content-type"] == form
    assert answer.json()["error"]


@pytest.mark.parametrize("path", [INFER, "/predict", "/v1/models/flowers:predict"])
@pytest.mark.parametrize(
    "media_type",
    ["text/plain", "application/xml", "multipart/form-data", "application/octet-stream"],
)
def test_another_media_type_is_refused(server: Server, path: str, media_type: str) -> None:
    answer = server.post(path, b"{}", headers={"Content-Type": media_type})
    assert answer.status_code == 415
    assert answer.json()["error"]


@pytest.mark.parametrize("media_type", ["application/json; charset=utf-8", "Application/JSON"])
def test_json_may_be_named_in_other_ways(server: Server, media_type: str) -> None:
    headers = {"Content-Type": media_type}
    body = f'{{"inputs": [{TEXT}]}}'
    assert server.post(INFER, body, headers=headers).status_code == 200
