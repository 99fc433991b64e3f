"""The model repository extension, spoken to a real server process."""

from pathlib import Path
from typing import Any

import pytest

from .conftest import Server, Start
from .onnx_models import classifier, echo

INDEX = "/v2/repository/index"
MODELS = "/v2/repository/models"


def states(server: Server, **content: Any) -> dict[str, str]:
    index = server.post(INDEX, content).json()
    return {f"{each['name']}/{each['version']}": each["state"] for each in index}


@pytest.fixture
def explicit(tmp_path: Path, start: Start) -> Server:
    """A server that loads by request, with `flowers` loaded and `echo` not."""
    classifier(tmp_path / "flowers" / "1" / "model.onnx")
    echo(tmp_path / "echo" / "1" / "model.onnx", 1)
    return start(tmp_path, "--model-control=explicit", "--preload=flowers")


def test_models_are_loaded_and_unloaded_by_request(explicit: Server) -> None:
    ask = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [1.5]}]}
    assert states(explicit) == {"echo/1": "UNAVAILABLE", "flowers/1": "READY"}
    assert states(explicit, ready=True) == {"flowers/1": "READY"}
    assert explicit.post("/v2/models/echo/infer", ask).status_code == 503
    assert explicit.post(f"{MODELS}/echo/load", b"").status_code == 200
    assert explicit.post("/v2/models/echo/infer", ask).status_code == 200
    assert explicit.post(f"{MODELS}/echo/unload", {"parameters": {}}).status_code == 200
    assert states(explicit, ready=True) == {"flowers/1": "READY"}
    assert explicit.get("/v2/models/echo/ready").status_code == 503
    assert explicit.get("/v2/models/echo").status_code == 503
    assert explicit.get("/v2/health/ready").status_code == 200
    for action in ("load", "unload"):
        answer = explicit.post(f"{MODELS}/roses/{action}", {})
        assert answer.status_code == 404
        assert "unknown model 'roses'" in answer.json()["error"]


@pytest.mark.parametrize(
    ("path", "content", "reason"),
    [
        (f"{MODELS}/flowers/load", {"parameters": {"config": "{}"}}, "'config' is not supported"),
        (f"{MODELS}/flowers/load", {"parameters": []}, "'parameters' is no object"),
        (f"{MODELS}/flowers/load", {"version": "1"}, "unknown key 'version'"),
        (f"{MODELS}/flowers/load", [], "no JSON object"),
        (
            f"{MODELS}/flowers/unload",
            {"parameters": {"unload_dependents": True}},
            "unload each model",
        ),
        (f"{MODELS}/flowers/unload", {"parameters": {"unload_dependents": 1}}, "is no bool"),
        (INDEX, {"ready": "yes"}, "'ready' is no boolean"),
        (INDEX, b'{"ready": true, "ready": false}', "stands twice"),
    ],
)
def test_a_wrong_request_is_refused(server: Server, path: str, content: Any, reason: str) -> None:
    answer = server.post(path, content)
    assert answer.status_code == 400
    assert reason in answer.json()["error"]


def test_loading_by_request_is_refused_where_the_folder_decides(server: Server) -> None:
    for action in ("load", "unload"):
        answer = server.post(f"{MODELS}/flowers/{action}", {})
        assert answer.status_code == 400
        assert "MODEL_CONTROL=explicit" in answer.json()["error"]


def test_the_index_needs_no_body(server: Server) -> None:
    answer = server.post(INDEX, b"")
    assert [each["state"] for each in answer.json()] == ["READY", "READY"]
