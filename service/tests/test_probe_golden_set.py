"""`probe golden-set` against real servers: the outputs recorded when the model was made."""

import contextlib
import json
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from inference_server.probe.client import Answer
from inference_server.probe.golden import Case, Tensor, compare, parse
from inference_server.probe.golden_set import judge_answer
from inference_server.probe.onnx_file import OnnxFileError, read_metadata

from .conftest import Server, Start, free_port
from .golden_models import ROWS, ask, classified, golden_classifier, golden_set
from .onnx_models import STRING, classifier, echo, logarithm, lookup

HASH_OF_SECRET = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b"


def probe(
    address: Server | str,
    repository: Path,
    *options: str,
    name: str = "flowers",
    version: int = 1,
    tolerance: str = "0.001",
) -> tuple[int, list[str]]:
    """Exit status and lines of one run."""
    url = address if isinstance(address, str) else str(address.client.base_url)
    status, lines, errors = ask(
        *("golden-set", f"--url={url}", f"--name={name}", f"--version={version}"),
        *(f"--repository={repository}", f"--tolerance={tolerance}", "--patience=0", *options),
    )
    assert errors == ""
    return status, lines


def place(folder: Path, name: str = "flowers") -> Path:
    return folder / name / "1" / "model.onnx"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("good")
    golden_classifier(place(folder))
    return folder


@pytest.fixture(scope="module")
def serving(good: Path, start_anywhere: Start) -> Server:
    return start_anywhere(good)


def test_a_model_that_answers_as_when_it_was_made_passes(serving: Server, good: Path) -> None:
    status, lines = probe(serving, good)
    assert status == 0
    assert lines[0].startswith("golden-set: flowers version 1 at http://127.0.0.1:")
    assert lines[1].startswith("pass: 0 of 24 cases differ, largest deviation ")
    assert float(lines[1].split()[-1]) < 1e-6


def test_a_server_that_runs_another_model_than_the_release_fails(
    serving: Server, tmp_path: Path
) -> None:
    golden_classifier(place(tmp_path), scale=-1)
    status, lines = probe(serving, tmp_path)
    assert status == 1
    assert lines[1].startswith("case 0: label[0] is ")
    assert lines[-2] == "and 14 more"
    assert len(lines) == 13
    assert lines[-1] == "fail: 24 of 24 cases differ, largest deviation 1"


def test_a_deviation_is_named_with_its_place_and_size(serving: Server, tmp_path: Path) -> None:
    outputs = classified(ROWS, 1)
    outputs["probabilities"][5, 1] += 0.01
    recorded = golden_set({"features": ROWS}, outputs)
    classifier(place(tmp_path), golden_set=recorded)
    status, lines = probe(serving, tmp_path)
    assert status == 1
    assert lines[1].startswith("case 5: probabilities[1] is 0.")
    assert lines[2] == "fail: 1 of 24 cases differ, largest deviation 0.01"
    assert probe(serving, tmp_path, tolerance="0.011")[0] == 0


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models that answer one of their golden inputs in another way."""
    folder = tmp_path_factory.mktemp("odd")
    rows = {"x": np.array([0, 1, 7], dtype=np.float32)}
    lookup(
        place(folder, "lookup"),
        golden_set=golden_set(rows, {"y": np.array([1, 2, 3], dtype=np.float32)}),
    )
    row = {"x": np.array([-1], dtype=np.float32)}
    recorded = golden_set(row, {"y": np.array([0], dtype=np.float32)})
    logarithm(place(folder, "logarithm"), golden_set=recorded)
    words = np.array(["yes", "nö"], dtype=object)
    recorded = golden_set({"x": words}, {"y": words[::-1]})
    echo(place(folder, "echo"), STRING, golden_set=recorded)
    return folder


@pytest.fixture(scope="module")
def serving_odd(odd: Path, start_anywhere: Start) -> Server:
    return start_anywhere(odd)


@pytest.mark.parametrize(
    ("name", "lines"),
    [
        (
            "lookup",
            [
                "case 2: HTTP 500: the model failed on this input",
                "fail: 1 of 3 cases differ, largest deviation 0",
            ],
        ),
        (
            "logarithm",
            [
                "case 0: y[0] is null (NaN or infinite), expected 0.0",
                "fail: 1 of 1 cases differ, largest deviation inf",
            ],
        ),
        (
            "echo",
            [
                "case 0: y[0] is 'yes', expected 'nö'",
                "case 1: y[0] is 'nö', expected 'yes'",
                "fail: 2 of 2 cases differ, largest deviation 1",
            ],
        ),
    ],
    ids=["an error", "a NaN", "another text"],
)
def test_is_a_case_that_differs(
    odd: Path, serving_odd: Server, name: str, lines: list[str]
) -> None:
    status, said = probe(serving_odd, odd, name=name)
    assert (status, said[1:]) == (1, lines)


def test_another_version_that_answers_fails(start: Start, tmp_path: Path) -> None:
    golden_classifier(place(tmp_path))
    golden_classifier(tmp_path / "flowers" / "2" / "model.onnx")
    status, lines = probe(start(tmp_path), tmp_path)
    assert status == 1
    assert lines[1] == "case 0: answered by version '2', expected '1'"


def test_a_version_that_is_not_served_fails(serving: Server, tmp_path: Path) -> None:
    golden_classifier(tmp_path / "flowers" / "2" / "model.onnx")
    status, lines = probe(serving, tmp_path, version=2)
    assert status == 1
    assert lines[1].endswith("flowers version 2: HTTP 404: model 'flowers' has no version '2'")


def test_a_model_without_a_golden_set_fails_with_the_reason(
    serving: Server, tmp_path: Path
) -> None:
    classifier(place(tmp_path))
    status, lines = probe(serving, tmp_path)
    assert status == 1
    assert lines[1] == "fail: flowers version 1 brings no golden set in its metadata"


def test_nobody_to_ask_is_undecided(good: Path) -> None:
    status, lines = probe(f"http://127.0.0.1:{free_port()}", good)
    assert status == 3
    assert lines[1].startswith("undecided: http://127.0.0.1:")
    assert lines[1].endswith("no answer (All connection attempts failed)")


def test_a_server_that_goes_away_before_the_first_case_is_undecided(
    good: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def at_once(*_: object) -> None:
        """It was ready a moment ago."""

    monkeypatch.setattr("inference_server.probe.golden_set.wait_until_served", at_once)
    status, lines = probe(f"http://127.0.0.1:{free_port()}", good)
    assert status == 3
    assert lines[1].endswith("no answer (All connection attempts failed)")


def test_a_refused_key_is_undecided_and_a_known_one_opens(
    start: Start, good: Path, tmp_path: Path
) -> None:
    (tmp_path / "hashes").write_text(f"analysis:{HASH_OF_SECRET}\n")
    (tmp_path / "key").write_text("secret\n")
    server = start(good, f"--api-key-hashes-file={tmp_path / 'hashes'}")
    status, lines = probe(server, good)
    assert status == 3
    assert lines[1].endswith("HTTP 401: no valid API key")
    assert probe(server, good, f"--api-key-file={tmp_path / 'key'}")[0] == 0


def test_a_case_without_an_answer_differs() -> None:
    deviation = judge_answer(Case((), ()), Answer(None, reason="reset"), 1, 0.001)
    assert deviation.problem == "no answer (reset)"


@pytest.mark.parametrize(
    ("content", "status", "reason"),
    [
        (None, 2, "misuse: "),
        (b"", 1, "brings no golden set"),
        (b"\xff", 1, "no ONNX model: it ends in the middle of a field"),
        (b"\x7f", 1, "no ONNX model: protobuf knows no wire type 7"),
        (b"\x0a\x05ab", 1, "no ONNX model: it ends in the middle of a field"),
        (b"\x72\x02\x0a\x00", 1, "an entry of its metadata is no key with a value"),
        (b"\x72\x06\x0a\x01\xff\x12\x01v", 1, "an entry of its metadata is no key"),
        (b"\x08" + b"\xff" * 12, 1, "a number in it is longer than protobuf allows"),
        (b"\x72\x80\x80\x80\x10" + b"v" * 2**25, 1, "metadata is larger than 16777216 bytes"),
    ],
    ids=[
        "missing",
        "empty",
        "half a number",
        "wire type",
        "truncated",
        "no value",
        "no text",
        "long number",
        "large metadata",
    ],
)
def test_what_is_no_model_is_named(
    content: bytes | None, status: int, reason: str, tmp_path: Path
) -> None:
    place(tmp_path).parent.mkdir(parents=True)
    if content is not None:
        place(tmp_path).write_bytes(content)
    ended, lines = probe("http://127.0.0.1:1", tmp_path)
    assert (ended, len(lines)) == (status, 2)
    assert reason in lines[1]


X = {"name": "x", "datatype": "FP32", "shape": [2], "data": [1.0, 2.0]}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("[", "unexpected end"),
        ("[]", "'inputs' is no array of tensors"),
        ('{"inputs": []}', "'inputs' is no array of tensors"),
        (json.dumps({"inputs": [X]}), "'outputs' is no array of tensors"),
        (json.dumps({"inputs": [1], "outputs": [X]}), "lacks name, datatype, shape or data"),
        (json.dumps({"inputs": [{**X, "shape": [3]}], "outputs": [X]}), "2 values for the shape"),
        (json.dumps({"inputs": [{**X, "shape": []}], "outputs": [X]}), "no positive integer"),
        (json.dumps({"inputs": [{**X, "data": [1, None]}], "outputs": [X]}), "is no number"),
        (
            json.dumps({"inputs": [{**X, "shape": [1, 2]}], "outputs": [X]}),
            "its tensors hold [1, 2] cases",
        ),
    ],
)
def test_a_golden_set_that_cannot_be_used_is_refused_with_the_reason(
    content: str, reason: str
) -> None:
    with pytest.raises(ValueError, match=re.escape(reason)):
        parse({"golden_set": content})


def answered(**changes: object) -> dict[str, dict[str, object]]:
    return {"y": {"name": "y", "datatype": "FP32", "shape": [1, 2], "data": [1.0, 100.0]} | changes}


@pytest.mark.parametrize(
    ("outputs", "problem"),
    [
        ({}, "the output 'y' is missing"),
        (answered(datatype="FP64"), "y is FP64 of shape [1, 2], expected FP32 of shape [1, 2]"),
        (answered(shape=[2]), "y is FP32 of shape [2], expected FP32 of shape [1, 2]"),
        (answered(data=[1.0]), "y does not hold 2 values"),
        (answered(data=None), "y does not hold 2 values"),
        (answered(data=["1", 100.0]), "y[0] is '1', expected 1.0"),
        (answered(data=[1.0, True]), "y[1] is True, expected 100.0"),
    ],
)
def test_an_answer_of_another_form_differs(outputs: dict, problem: str) -> None:
    case = Case((), (Tensor("y", "FP32", (1, 2), (1.0, 100.0)),))
    assert compare(case, outputs, tolerance=1.0).problem == problem


@settings(deadline=None)
@given(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6), st.floats(0, 1))
def test_the_tolerance_is_of_one_or_of_a_larger_value(
    value: float, wanted: float, tolerance: float
) -> None:
    case = Case((), (Tensor("y", "FP32", (1,), (wanted,)),))
    outputs = {"y": {"datatype": "FP32", "shape": [1], "data": [value]}}
    deviation = compare(case, outputs, tolerance)
    assert deviation.size == abs(value - wanted) / max(1, abs(wanted))
    assert (deviation.problem is None) == (deviation.size <= tolerance)


def test_the_metadata_is_read_without_the_weights(good: Path, tmp_path: Path) -> None:
    metadata = read_metadata(place(good))
    assert metadata["class_output"] == "label"
    assert len(json.loads(metadata["golden_set"])["inputs"][0]["data"]) == ROWS.size
    sparse = tmp_path / "large.onnx"
    with sparse.open("wb") as file:
        file.write(b"\x3a\x80\x80\x80\x80\x10")  # a graph of 4 GiB that is a hole in the file
        file.seek(2**32, 1)
        file.write(b"\x72\x06\x0a\x01k\x12\x01v")
    assert read_metadata(sparse) == {"k": "v"}


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_are_metadata_or_a_named_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "bytes.onnx"
    path.write_bytes(content)
    with contextlib.suppress(OnnxFileError):
        assert {str} >= {type(word) for pair in read_metadata(path).items() for word in pair}
