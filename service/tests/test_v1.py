"""`/v1`: the protocol of TensorFlow Serving, and of KServe before v2."""

from typing import Any

import pytest

from .conftest import Server, Start
from .onnx_models import classifier, echo, pair

ASK = "/v1/models/flowers:predict"
ROWS = [[3, 1, 1], [-3, -1, -1]]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    folder = tmp_path_factory.mktemp("v1")
    classifier(folder / "flowers" / "2" / "model.onnx", scale=1)
    classifier(folder / "flowers" / "10" / "model.onnx", scale=2)
    pair(folder / "pair" / "1" / "model.onnx")
    echo(folder / "echo" / "1" / "model.onnx", 1)
    return start_anywhere(folder)


def test_rows_are_answered_by_rows_of_named_outputs(served: Server) -> None:
    rows = served.post(ASK, {"instances": ROWS}).json()["predictions"]
    assert [row["label"] for row in rows] == [1, 0]
    assert [len(row["probabilities"]) for row in rows] == [2, 2]


def test_rows_of_a_model_with_one_output_are_answered_by_its_values(served: Server) -> None:
    answer = served.post("/v1/models/echo:predict", {"instances": [0.1, 2]})
    assert answer.json() == {"predictions": [0.1, 2]}


def test_whole_inputs_are_answered_by_whole_outputs(served: Server) -> None:
    content = {"signature_name": "serving_default", "inputs": {"features": ROWS}}
    outputs = served.post(ASK, content).json()["outputs"]
    assert outputs["label"] == [1, 0]
    assert served.post(ASK, {"inputs": ROWS}).json()["outputs"] == outputs
    one = served.post("/v1/models/echo:predict", {"inputs": [1.5]})
    assert one.json() == {"outputs": [1.5]}


def test_rows_may_name_the_inputs(served: Server) -> None:
    rows = [{"left": 0.5, "right": 1}, {"left": 1.5, "right": 2}]
    answer = served.post("/v1/models/pair:predict", {"instances": rows})
    assert answer.json() == {"predictions": [1.5, 3.5]}


def test_a_version_can_be_chosen(served: Server) -> None:
    answer = served.post("/v1/models/flowers/versions/2:predict", {"instances": ROWS})
    assert answer.headers["x-model-version"] == "2"


WRONG: dict[str, tuple[str, Any, str]] = {
    "neither": ("flowers", {}, "send"),
    "both": ("flowers", {"instances": ROWS, "inputs": ROWS}, "send"),
    "another key": ("flowers", {"instances": ROWS, "columns": {}}, "send"),
    "another signature": (
        "flowers",
        {"instances": ROWS, "signature_name": "train"},
        "serving_default",
    ),
    "unknown input": ("flowers", {"inputs": {"feature": ROWS}}, "unknown input 'feature'"),
    "inputs without names": ("pair", {"inputs": [1]}, "name them"),
    "scalar": ("flowers", {"inputs": 1}, "does not fit"),
    "text": ("echo", {"instances": ["1"]}, "a string in the data"),
    "base64": ("echo", {"instances": [{"b64": "AA=="}]}, "unknown input 'b64'"),
}


@pytest.mark.parametrize(("model", "content", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_refused(served: Server, model: str, content: Any, reason: str) -> None:
    answer = served.post(f"/v1/models/{model}:predict", content)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_models_and_their_versions_can_be_asked_for(served: Server) -> None:
    assert sorted(served.get("/v1/models").json()["models"]) == ["echo", "flowers", "pair"]
    status = served.get("/v1/models/flowers").json()
    assert status["ready"] is True
    assert [each["version"] for each in status["model_version_status"]] == ["2", "10"]
    assert {each["state"] for each in status["model_version_status"]} == {"AVAILABLE"}
    (one,) = served.get("/v1/models/flowers/versions/2").json()["model_version_status"]
    assert one["version"] == "2"
    assert served.get("/v1/models/roses").status_code == 404
