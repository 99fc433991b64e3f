"""What is in the repository folder decides what is served, and what keeps a pod from traffic."""

import hashlib
from pathlib import Path

from onnx import TensorProto, helper

from .conftest import Server, Start
from .onnx_models import classifier, logarithm, lookup, node, slow, value, write

FLOWER = {"instances": [[1, 1, 1]]}


def reasons(server: Server) -> str:
    answer = server.get("/health/ready")
    assert answer.status_code == 503
    assert answer.json()["ready"] is False
    return " ".join(answer.json()["reasons"])


def test_ready_tells_hash_and_provider_of_each_model(server: Server, repository: Path) -> None:
    content = server.get("/health/ready").json()
    newest = content["models"][-1]
    file = repository / "flowers" / "10" / "model.onnx"
    assert newest["version"] == "10"
    assert newest["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()
    assert newest["provider"] == "CPUExecutionProvider"
    assert newest["framework"] == "numpy 2"


def test_health_and_info_agree_on_the_models(server: Server) -> None:
    assert server.get("/health").json()["models"] == server.get("/info").json()["models"]
    assert server.get("/health/live").json() == {"live": True}


def test_a_truncated_model_is_never_ready_and_the_others_serve(
    tmp_path: Path, start: Start
) -> None:
    good = classifier(tmp_path / "good" / "1" / "model.onnx")
    bad = tmp_path / "bad" / "1" / "model.onnx"
    bad.parent.mkdir(parents=True)
    bad.write_bytes(good.read_bytes()[:200])
    server = start(tmp_path, until="/v2/models/good/ready")
    assert "bad/1: no usable ONNX model" in reasons(server)
    assert server.get("/v2/health/live").status_code == 200
    assert server.get("/v2/models/bad/ready").status_code == 503
    assert server.post("/predict?model=good", FLOWER).status_code == 200
    refused = server.post("/predict?model=bad", FLOWER)
    assert refused.status_code == 503
    assert refused.headers["retry-after"]
    sample = 'model_load_failures_total{model_id="bad",model_version="1",reason="file"}'
    assert server.metric(sample) == 1
    assert server.metric('model_ready{model_id="bad",model_version="1"}') == 0
    errors = [event for event in server.events() if event["level"] == "error"]
    assert "no usable ONNX model" in errors[0]["reason"]


def test_a_model_with_another_hash_than_expected_is_never_ready(
    tmp_path: Path, start: Start
) -> None:
    classifier(tmp_path / "m" / "1" / "model.onnx")
    options = ["--model-name=m", "--model-version=1", f"--model-sha256={'0' * 64}"]
    server = start(tmp_path, *options, until="/health/live")
    server.wait_for_reason("sha256 is")
    assert f"expected {'0' * 64}" in reasons(server)


def test_a_model_with_the_expected_hash_is_ready(tmp_path: Path, start: Start) -> None:
    file = classifier(tmp_path / "m" / "1" / "model.onnx")
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    facts = {"MODEL_NAME": "m", "MODEL_VERSION": "1", "MODEL_SHA256": digest}
    assert start(tmp_path, environment=facts).get("/v2/health/ready").status_code == 200


def test_an_expected_model_that_is_not_there_keeps_the_server_from_traffic(
    tmp_path: Path, start: Start
) -> None:
    classifier(tmp_path / "m" / "1" / "model.onnx")
    options = ["--model-name=m", "--model-version=2", f"--model-sha256={'0' * 64}"]
    server = start(tmp_path, *options, until="/v2/models/m/ready")
    assert "m/2: expected by MODEL_NAME" in reasons(server)


def test_an_empty_repository_says_what_was_expected(tmp_path: Path, start: Start) -> None:
    server = start(tmp_path, until="/health/live")
    assert "expected <model>/<version>/model.onnx" in reasons(server)
    answer = server.post("/predict", FLOWER)
    assert answer.status_code == 503


def test_folders_that_are_no_models_are_named(tmp_path: Path, start: Start) -> None:
    classifier(tmp_path / "m" / "1" / "model.onnx")
    (tmp_path / "m" / "latest").mkdir()
    (tmp_path / "no versions").mkdir()
    (tmp_path / "hollow").mkdir()
    (tmp_path / "void" / "1").mkdir(parents=True)
    (tmp_path / ".hidden").mkdir()
    (tmp_path / "lost+found").mkdir()
    server = start(tmp_path, until="/v2/models/m/ready")
    server.wait_for_reason("void/1: cannot read")
    text = reasons(server)
    assert "m/latest: a version is a positive integer" in text
    assert "no versions: no model name" in text
    assert "hollow: no version folder" in text
    assert "hidden" not in text
    assert "lost+found" not in text


def test_a_required_gpu_that_is_not_there_keeps_the_server_from_traffic(
    repository: Path, start: Start
) -> None:
    server = start(repository, "--require-gpu", until="/health/live")
    server.wait_for_reason("flowers/10: a GPU is required")
    sample = (
        'model_execution_provider{gpu_required="true",model_id="flowers",'
        'model_version="10",provider="CPUExecutionProvider"}'
    )
    assert server.metric(sample) == 1


def test_a_model_that_fails_its_warm_up_is_never_ready(tmp_path: Path, start: Start) -> None:
    nodes = [
        node("Cast", "x", "i", to=TensorProto.INT64),
        node("Gather", "x i", "y"),
        node("Reshape", "y shape", "z"),
    ]
    import numpy as np

    write(
        tmp_path / "m" / "1" / "model.onnx",
        nodes,
        [value("x", TensorProto.FLOAT, "N")],
        [value("z", TensorProto.FLOAT, 7, 7)],
        {"shape": np.array([7, 7], dtype=np.int64)},
    )
    server = start(tmp_path, until="/health/live")
    server.wait_for_reason("the warm-up run failed")


def test_metadata_that_contradicts_the_model_is_named(tmp_path: Path, start: Start) -> None:
    cases = {
        "output": {"score_output": "nope"},
        "json": {"class_names": "["},
        "names": {"feature_names": "[1]"},
        "ranges": {"output_ranges": '{"probabilities": [1, 0]}'},
    }
    for name, metadata in cases.items():
        classifier(tmp_path / name / "1" / "model.onnx", **metadata)
    server = start(tmp_path, until="/health/live")
    server.wait_for_reason("ranges/1: metadata 'output_ranges'")
    text = reasons(server)
    assert "output/1: metadata names the output 'nope'" in text
    assert "json/1: metadata 'class_names' is no JSON" in text
    assert "names/1: metadata 'feature_names' is no JSON array" in text


def test_a_type_that_the_protocol_cannot_carry_is_named(tmp_path: Path, start: Start) -> None:
    sequence = helper.make_tensor_sequence_value_info("y", TensorProto.FLOAT, None)
    write(
        tmp_path / "m" / "1" / "model.onnx",
        [node("SequenceConstruct", "x", "y")],
        [value("x", TensorProto.FLOAT, "N")],
        [sequence],
    )
    server = start(tmp_path, until="/health/live")
    server.wait_for_reason("seq(tensor(float))")


def test_the_server_is_live_while_a_model_loads(tmp_path: Path, start: Start) -> None:
    slow(tmp_path / "m" / "1" / "model.onnx")
    server = start(tmp_path, until="/health/live")
    assert server.get("/v2/health/live").status_code == 200


def test_a_failure_inside_the_model_is_a_500_that_discloses_nothing(
    tmp_path: Path, start: Start
) -> None:
    lookup(tmp_path / "lookup" / "1" / "model.onnx")
    server = start(tmp_path)
    good = server.post("/predict", {"instances": [0, 2]})
    assert good.json()["predictions"] == [1, 3]
    bad = server.post("/predict", {"instances": [9]})
    assert bad.status_code == 500
    assert bad.json()["error"] == "the model failed on this input"
    assert "Gather" not in bad.text
    v2 = {"inputs": [{"name": "x", "shape": [1], "datatype": "FP32", "data": [9]}]}
    assert server.post("/v2/models/lookup/infer", v2).json() == {
        "error": "the model failed on this input"
    }
    counts = [
        server.metric(f'http_requests_total{{endpoint="{endpoint}",method="POST",status="500"}}')
        for endpoint in ("predict", "infer")
    ]
    assert counts == [1, 1]
    sample = 'prediction_errors_total{error_type="runtime",model_id="lookup",model_version="1"}'
    assert server.metric(sample) == 2
    events = [event for event in server.events() if event["message"] == "inference failed"]
    assert "Gather" in events[0]["reason"]
    assert "exception" not in events[0]


def test_outputs_that_cannot_be_right_are_counted_by_row(tmp_path: Path, start: Start) -> None:
    logarithm(tmp_path / "log" / "1" / "model.onnx", output_ranges='{"y": [0, 1]}')
    server = start(tmp_path)
    answer = server.post("/predict", {"instances": [-1, -2, 0, 100, 2]})
    assert answer.json()["predictions"][:3] == [None, None, None]
    counts = {
        kind: server.metric(
            f'model_outputs_invalid_total{{kind="{kind}",model_id="log",model_version="1"}}'
        )
        for kind in ("nan", "inf", "out_of_range")
    }
    assert counts == {"nan": 2, "inf": 1, "out_of_range": 1}
