"""The export is the model: same bytes, same answers, the contract's names and types."""

import json
import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
from model_pipeline import GateError, PipelineError, onnx_model, training
from onnx import numpy_helper

EXPORT = """
import sys
from model_pipeline import dataset, onnx_model, training
rows = dataset.load()
fitted = training.fit(rows, seed=int(sys.argv[1]))
model = onnx_model.export(fitted.estimator, "breast-cancer", rows.feature_names)
sys.stdout.buffer.write(model)
"""


def export_in_new_process(seed: int, hash_seed: str) -> bytes:
    done = subprocess.run(
        [sys.executable, "-c", EXPORT, str(seed)],
        env={"PYTHONHASHSEED": hash_seed, "PATH": ""},
        capture_output=True,
        check=True,
        timeout=60,
    )
    return done.stdout


def altered(model: bytes, initializer: str, change) -> bytes:
    proto = onnx.load_from_string(model)
    (tensor,) = (item for item in proto.graph.initializer if item.name == initializer)
    values = change(numpy_helper.to_array(tensor).copy())
    tensor.CopyFrom(numpy_helper.from_array(values, initializer))
    return proto.SerializeToString()


def test_the_same_seed_gives_the_same_bytes_in_another_process(model):
    assert {export_in_new_process(0, str(hash_seed)) for hash_seed in range(1, 6)} == {model}


def test_the_operator_sets_are_listed_in_one_order(model):
    domains = [opset.domain for opset in onnx.load_from_string(model).opset_import]
    assert domains == sorted(domains)
    assert len(domains) == 2


def test_another_seed_gives_another_model(model, rows):
    other = training.fit(rows, seed=1)
    assert onnx_model.export(other.estimator, "breast-cancer", rows.feature_names) != model


def test_the_model_is_small_and_carries_its_name(model):
    assert len(model) < 1_000_000
    assert onnx.load_from_string(model).graph.name == "breast-cancer"


def test_inputs_outputs_and_metadata_are_those_of_the_contract(model, rows):
    session = onnxruntime.InferenceSession(model)
    signature = [
        (value.name, value.type, value.shape)
        for value in (*session.get_inputs(), *session.get_outputs())
    ]
    assert signature == [
        ("features", "tensor(float)", [None, 30]),
        ("label", "tensor(int64)", [None]),
        ("probabilities", "tensor(float)", [None, 2]),
    ]
    metadata = session.get_modelmeta().custom_metadata_map
    assert metadata["framework"].startswith("scikit-learn 1.")
    assert json.loads(metadata["feature_names"]) == list(rows.feature_names)
    assert json.loads(metadata["class_names"]) == ["benign", "malignant"]
    assert (metadata["class_output"], metadata["score_output"]) == ("label", "probabilities")
    assert json.loads(metadata["output_ranges"]) == {"probabilities": [0, 1]}


def test_the_export_agrees_with_scikit_learn_on_every_test_row(fitted, model, rows):
    distance = onnx_model.check_agreement(fitted.estimator, model, rows.test.features)
    assert 0 < distance <= onnx_model.TOLERANCE


def test_a_slightly_altered_weight_breaks_the_agreement(fitted, model, rows):
    wrong = altered(model, "intercepts1", lambda values: values + np.float32(1e-3))
    with pytest.raises(GateError, match="probabilities are up to"):
        onnx_model.check_agreement(fitted.estimator, wrong, rows.test.features)


def test_swapped_classes_break_the_agreement(fitted, model, rows):
    wrong = altered(model, "classes", lambda values: values[::-1].copy())
    with pytest.raises(GateError, match="86 of 86 test rows get another label"):
        onnx_model.check_agreement(fitted.estimator, wrong, rows.test.features)


def test_probabilities_that_are_no_numbers_break_the_agreement(fitted, model, rows, monkeypatch):
    labels, scores = onnx_model.predict(model, rows.test.features)
    scores[3] = np.nan
    monkeypatch.setattr(onnx_model, "predict", lambda *_: (labels, scores))
    with pytest.raises(GateError, match="nan away"):
        onnx_model.check_agreement(fitted.estimator, model, rows.test.features)


def test_the_contract_check_returns_the_same_bytes(model):
    assert onnx_model.check_contract(model, "model.onnx") == model


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08"])
def test_a_file_that_is_no_onnx_is_refused_by_name(content):
    with pytest.raises(PipelineError, match=r"^broken\.onnx: not an ONNX model that loads: \S+"):
        onnx_model.check_contract(content, "broken.onnx")


def test_a_truncated_model_is_refused(model):
    with pytest.raises(PipelineError, match="not an ONNX model that loads"):
        onnx_model.check_contract(model[: len(model) // 2], "model.onnx")


def test_other_output_names_are_refused_with_both_signatures(model):
    proto = onnx.load_from_string(model)
    proto.graph.output[0].name = "klass"
    proto.graph.node[-1].output[0] = "klass"
    with pytest.raises(PipelineError, match=r"klass tensor\(int64\) of rank 1.*wants.* label"):
        onnx_model.check_contract(proto.SerializeToString(), "model.onnx")
