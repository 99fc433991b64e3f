"""The golden set: real rows with scikit-learn's answers, as the service's probe reads them."""

import numpy as np
import onnx
import pytest
from inference_server.probe.golden import parse
from model_pipeline import PipelineError, golden, onnx_model


@pytest.fixture(scope="module")
def answers(fitted, rows):
    """Labels [N] and scores [N, 2] of the test part, by scikit-learn."""
    features = rows.test.features
    return fitted.estimator.predict(features), fitted.estimator.predict_proba(features)


@pytest.fixture(scope="module")
def recorded(model, rows, answers):
    return golden.attach(model, rows.test.features, *answers)


def metadata(model):
    return {entry.key: entry.value for entry in onnx.load_from_string(model).metadata_props}


def test_the_service_reads_64_test_rows_and_the_answers_of_scikit_learn(recorded, rows, answers):
    labels, scores = answers
    best = np.sort(scores, axis=1)
    clear = np.flatnonzero(best[:, 1] - best[:, 0] > 0.01)[:64]
    cases = parse(metadata(recorded)).cases
    assert len(cases) == len(clear) == 64
    for case, row in zip(cases, clear, strict=True):
        (features,), (label, probabilities) = case.inputs, case.outputs
        assert (features.name, label.name, probabilities.name) == (
            "features",
            "label",
            "probabilities",
        )
        assert (features.shape, label.shape, probabilities.shape) == ((1, 30), (1,), (1, 2))
        assert np.float32(features.data).tolist() == rows.test.features[row].tolist()
        assert label.data == (labels[row],)
        assert np.float32(probabilities.data).tolist() == scores[row].astype("float32").tolist()


def test_the_rest_of_the_model_is_as_before(model, recorded, rows):
    assert metadata(recorded).keys() - metadata(model).keys() == {"golden_set"}
    assert metadata(recorded).items() >= metadata(model).items()
    before = onnx_model.predict(model, rows.test.features)
    after = onnx_model.predict(recorded, rows.test.features)
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))
    assert onnx_model.check_contract(recorded, "model.onnx") == recorded


def test_recording_again_replaces_the_set(recorded, rows, answers):
    assert golden.attach(recorded, rows.test.features, *answers) == recorded
    fewer = golden.attach(recorded, *(each[:3] for each in (rows.test.features, *answers)))
    assert len(parse(metadata(fewer)).cases) == 3
    assert len(onnx.load_from_string(fewer).metadata_props) == len(metadata(recorded))


def test_a_row_near_a_tie_is_no_case(model, rows):
    scores = np.array([[0.504, 0.496], [0.4, 0.6], [0.495, 0.505]], dtype=np.float32)
    labels = np.array([0, 1, 1])
    found = golden.attach(model, rows.test.features[:3], labels, scores)
    (case,) = parse(metadata(found)).cases
    assert np.float32(case.inputs[0].data).tolist() == rows.test.features[1].tolist()
    with pytest.raises(PipelineError, match="every row is near a tie"):
        golden.attach(model, rows.test.features[:1], labels[:1], scores[:1])


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_an_answer_that_is_no_number_is_refused(model, rows, answers, wrong):
    labels, scores = answers
    scores = scores.copy()
    scores[2] = [0, wrong]
    with pytest.raises(PipelineError, match="a score is NaN or infinite"):
        golden.attach(model, rows.test.features, labels, scores)
