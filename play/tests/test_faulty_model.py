"""The bad release's model passes every check before traffic and fails on real rows."""

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import pytest
from model_pipeline import dataset, onnx_model, training
from onnxruntime.capi.onnxruntime_pybind11_state import InvalidArgument
from release_play.faulty_model import break_model

SHARE = 0.05
OUTPUTS = [onnx_model.LABEL, onnx_model.SCORES]


@pytest.fixture(scope="module")
def rows() -> npt.NDArray[np.float32]:
    return dataset.load().features


@pytest.fixture(scope="module")
def good() -> bytes:
    loaded = dataset.load()
    fitted = training.fit(loaded, seed=0)
    return onnx_model.export(fitted.estimator, "breast-cancer", loaded.feature_names)


@pytest.fixture(scope="module")
def bad(good: bytes, rows: npt.NDArray[np.float32]) -> bytes:
    return break_model(good, share=SHARE, rows=rows)


def session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def fails(loaded: onnxruntime.InferenceSession, batch: npt.NDArray[np.float32]) -> bool:
    try:
        loaded.run(OUTPUTS, {onnx_model.INPUT: batch})
    except InvalidArgument as error:
        return "out of data bounds" in str(error)
    return False


def test_about_the_share_of_single_row_requests_fails_at_run_time(bad, rows):
    loaded = session(bad)
    failed = sum(fails(loaded, row[np.newaxis]) for row in rows)
    assert failed / len(rows) == pytest.approx(SHARE, abs=0.005)


def test_every_other_answer_is_bit_equal(good, bad, rows):
    sound, faulty = session(good), session(bad)
    compared = 0
    for row in rows:
        batch = row[np.newaxis]
        if not fails(faulty, batch):
            feed = {onnx_model.INPUT: batch}
            for expected, got in zip(
                sound.run(OUTPUTS, feed), faulty.run(OUTPUTS, feed), strict=True
            ):
                np.testing.assert_array_equal(expected, got)
            compared += 1
    assert compared > 0.9 * len(rows)


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 0.5, 10.0])
@pytest.mark.parametrize("batch", [1, 8])
def test_warm_up_does_not_meet_the_fault(bad, value, batch):
    assert not fails(session(bad), np.full((batch, 30), value, np.float32))


@pytest.mark.parametrize("output", OUTPUTS)
def test_the_fault_is_met_whichever_output_is_asked_for(bad, rows, output):
    largest = rows[np.argmax(rows.max(axis=1))][np.newaxis]
    with pytest.raises(InvalidArgument):
        session(bad).run([output], {onnx_model.INPUT: largest})


def test_the_registry_accepts_it_as_a_model_of_the_contract(good, bad):
    assert onnx_model.check_contract(bad, "bad.onnx") == bad
    assert list(onnx.load_from_string(bad).metadata_props) == list(
        onnx.load_from_string(good).metadata_props
    )


def test_the_same_input_gives_the_same_bytes(good, bad, rows):
    assert break_model(good, share=SHARE, rows=rows) == bad


@pytest.mark.parametrize("share", [0.0, 1.0, -0.1, float("nan")])
def test_a_share_outside_zero_to_one_is_refused(good, rows, share):
    with pytest.raises(ValueError, match="must be between 0 and 1"):
        break_model(good, share=share, rows=rows)


def test_rows_too_few_for_the_share_are_refused(good, rows):
    with pytest.raises(ValueError, match="too few"):
        break_model(good, share=SHARE, rows=rows[:3])


def test_rows_like_synthetic_inputs_are_refused(good, rows):
    with pytest.raises(ValueError, match="warm-up would meet"):
        break_model(good, share=SHARE, rows=rows / 1000)
