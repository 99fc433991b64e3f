"""`/predict`: the plain way to ask."""

from typing import Any

import pytest

from .conftest import Server, Start
from .onnx_models import classifier, echo, pair

ROW = [3, 1, 1]
NAMED = {"length": 3, "width": 1, "height": 1}
SMALL = {"length": -3, "width": -1, "height": -1}


def test_rows_get_predictions_classes_and_probabilities(server: Server) -> None:
    answer = server.post("/predict", {"instances": [ROW, [-3, -1, -1]]})
    content = answer.json()
    assert content["predictions"] == [1, 0]
    assert content["classes"] == ["large", "small"]
    assert [len(row) for row in content["probabilities"]] == [2, 2]
    assert content["model"] == "flowers"
    assert content["model_version"] == answer.headers["x-model-version"] == "10"


def test_rows_may_name_their_values_in_any_order(server: Server) -> None:
    shuffled = dict(reversed(NAMED.items()))
    named = server.post("/predict", {"instances": [shuffled, SMALL]}).json()
    plain = server.post("/predict", {"instances": [ROW, [-3, -1, -1]]}).json()
    assert named == plain


def test_one_row_may_stand_by_itself(server: Server) -> None:
    for row in (ROW, NAMED):
        answer = server.post("/predict", {"instance": row}).json()
        assert answer == server.post("/predict", {"instances": [row]}).json()


def test_columns_may_be_given_by_name(server: Server) -> None:
    columns = {"length": [3, -3], "width": [1, -1], "height": [1, -1]}
    answer = server.post("/predict", {"columns": columns})
    assert answer.json()["classes"] == ["large", "small"]


def test_model_and_version_can_be_named(server: Server) -> None:
    answer = server.post("/predict?model=flowers&version=2", {"instances": [ROW]})
    assert answer.json()["model_version"] == "2"


def test_a_version_of_the_only_model_can_be_named(server: Server) -> None:
    assert server.post("/predict?version=2", {"instances": [ROW]}).json()["model_version"] == "2"


WRONG: dict[str, tuple[Any, str]] = {
    "nothing": ({}, "send"),
    "both forms": ({"instances": [ROW], "columns": {}}, "send"),
    "no rows": ({"instances": []}, "no array of rows"),
    "instances is an object": ({"instances": {}}, "no array of rows"),
    "row of wrong length": ({"instances": [[1, 2]]}, "does not fit [-1, 3]"),
    "empty row": ({"instances": [[]]}, "empty array"),
    "ragged": ({"instances": [ROW, [1]]}, "not nested"),
    "numbers instead of rows": ({"instances": [1, 2, 3]}, "does not fit"),
    "text": ({"instances": [["a", "b", "c"]]}, "a string in the data"),
    "null": ({"instances": [[1, None, 3]]}, "null in the data"),
    "rows with different names": ({"instances": [NAMED, {"length": 1}]}, "same names"),
    "unknown name": ({"instances": [{**NAMED, "depth": 1}]}, "unknown column 'depth'"),
    "missing name": ({"instances": [{"length": 1, "width": 2}]}, "'height' is missing"),
    "rows and objects": ({"instances": [NAMED, ROW]}, "does not fit"),
    "rows without names": ({"instances": [{}]}, "'length' is missing"),
    "columns is an array": ({"columns": [1]}, "no object of arrays"),
    "columns of scalars": ({"columns": NAMED}, "no object of arrays"),
    "columns of different length": (
        {"columns": {"length": [1], "width": [1, 2], "height": [1]}},
        "differ in length",
    ),
    "empty columns": ({"columns": {"length": [], "width": [], "height": []}}, "empty array"),
}


@pytest.mark.parametrize(("content", "reason"), WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_a_problem_with_a_reason(
    server: Server, content: Any, reason: str
) -> None:
    answer = server.post("/predict", content)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == 400
    assert reason in answer.json()["error"]
    assert answer.json()["detail"] == answer.json()["error"]


@pytest.fixture(scope="module")
def several(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    folder = tmp_path_factory.mktemp("several")
    classifier(folder / "plain" / "1" / "model.onnx", feature_names="[]", class_names="[]")
    pair(folder / "pair" / "1" / "model.onnx")
    for name, kind in {"int8": 3, "uint64": 13, "bool": 9, "text": 8, "half": 10}.items():
        echo(folder / name / "1" / "model.onnx", kind)
    return start_anywhere(folder)


def test_with_several_models_one_must_be_named(several: Server) -> None:
    answer = several.post("/predict", {"instances": [ROW]})
    assert answer.status_code == 400
    assert "?model=" in answer.json()["error"]


def test_a_model_without_class_names_answers_without_classes(several: Server) -> None:
    content = several.post("/predict?model=plain", {"instances": [ROW]}).json()
    assert content["predictions"] == [1]
    assert "classes" not in content


def test_a_model_without_feature_names_takes_its_input_s_name(several: Server) -> None:
    content = several.post("/predict?model=plain", {"instances": [{"features": ROW}]}).json()
    assert content["predictions"] == [1]


def test_rows_name_the_inputs_of_a_model_with_several(several: Server) -> None:
    rows = [{"left": 1.5, "right": 2}, {"left": 3, "right": 4}]
    assert several.post("/predict?model=pair", {"instances": rows}).json()["predictions"] == [
        3.5,
        7,
    ]
    answer = several.post("/predict?model=pair", {"instances": [[1, 2]]})
    assert answer.status_code == 400
    assert "name them" in answer.json()["error"]


def test_inputs_that_share_a_dimension_must_agree(several: Server) -> None:
    inputs = [
        {"name": "left", "shape": [2, 1], "datatype": "FP32", "data": [1, 2]},
        {"name": "right", "shape": [3], "datatype": "INT64", "data": [1, 2, 3]},
    ]
    answer = several.post("/v2/models/pair/infer", {"inputs": inputs})
    assert answer.status_code == 400
    assert "'N' is 3, but 2" in answer.json()["error"]


@pytest.mark.parametrize(
    ("model", "datatype", "values"),
    [
        ("int8", "INT8", [-128, 127]),
        ("uint64", "UINT64", [0, 2**64 - 1]),
        ("bool", "BOOL", [True, False]),
        ("text", "BYTES", ["ä", ""]),
        ("half", "FP16", [0.5, -2]),
    ],
)
def test_every_datatype_comes_back_as_it_went(
    several: Server, model: str, datatype: str, values: list[Any]
) -> None:
    tensor = {"name": "x", "shape": [2], "datatype": datatype, "data": values}
    answer = several.post(f"/v2/models/{model}/infer", {"inputs": [tensor]})
    assert answer.json()["outputs"][0]["data"] == values


@pytest.mark.parametrize(
    ("model", "value"),
    [
        ("int8", 128),
        ("int8", 1.0),
        ("int8", True),
        ("uint64", -1),
        ("uint64", 2**64),
        ("bool", 1),
        ("text", 1),
        ("half", 70_000),
    ],
)
def test_a_value_that_does_not_fit_the_datatype_is_refused(
    several: Server, model: str, value: Any
) -> None:
    answer = several.post(f"/predict?model={model}", {"instances": [value]})
    assert answer.status_code == 400
    assert "'x'" in answer.json()["error"]
