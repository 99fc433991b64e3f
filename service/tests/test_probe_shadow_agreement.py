"""`probe shadow-agreement` against two real servers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inference_server.probe.client import Answer
from inference_server.probe.golden import read_golden_set
from inference_server.probe.outcome import FAIL, PASS, UNDECIDED
from inference_server.probe.shadow_agreement import Shadow, Tally, jittered, judge

from .conftest import Server, Start, free_port
from .golden_models import ROWS, golden_classifier, golden_set
from .onnx_models import lookup
from .test_life_cycle import run

SHADOW = Shadow("http://stable", inputs=60, jitter=0.05, seed=1, minimum=0.95)


def place(folder: Path, version: int = 1) -> Path:
    return folder / "flowers" / str(version) / "model.onnx"


def probe(canary: Server, stable: Server | str, repository: Path) -> tuple[int, list[str]]:
    """Exit status and lines after the first of 60 inputs and a minimum of 95 %."""
    ended = run(
        *("probe", "shadow-agreement", "--inputs=60", "--jitter=0.05", "--seed=1"),
        *("--minimum=0.95", "--patience=1"),
        PROBE_URL=str(canary.client.base_url),
        PROBE_STABLE_URL=stable if isinstance(stable, str) else str(stable.client.base_url),
        MODEL_NAME="flowers",
        MODEL_VERSION="2",
        MODEL_REPOSITORY=str(repository),
    )
    assert ended.stderr == ""
    return ended.returncode, ended.stdout.splitlines()[1:]


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    folder = tmp_path_factory.mktemp("stable")
    golden_classifier(place(folder))
    return start_anywhere(folder)


def test_a_canary_that_decides_alike_passes(stable: Server, start: Start, tmp_path: Path) -> None:
    golden_classifier(place(tmp_path, 2), scale=1.5)
    status, lines = probe(start(tmp_path), stable, tmp_path)
    assert status == 0
    assert lines[0].startswith(
        "pass: 60 of 60 classes agree (100.00%, at least 95.00% is asked for), scores differ by "
    )
    # 1/(1 + exp(-3x)) and 1/(1 + exp(-2x)) are nowhere further apart than 0.0897 (at x = 0.62).
    assert 0.05 < float(lines[0].split()[-1]) <= 0.0897


def test_a_canary_that_decides_otherwise_fails(
    stable: Server, start: Start, tmp_path: Path
) -> None:
    golden_classifier(place(tmp_path, 2), scale=-1)
    status, lines = probe(start(tmp_path), stable, tmp_path)
    assert status == 1
    assert lines[0].startswith("fail: 0 of 60 classes agree (0.00%, ")


def test_an_error_of_the_canary_is_no_agreement(
    stable: Server, start: Start, tmp_path: Path
) -> None:
    inputs = {"x": np.array([7], dtype=np.float32)}
    recorded = golden_set(inputs, {"y": inputs["x"]})
    lookup(place(tmp_path, 2), golden_set=recorded, class_output="y")
    status, lines = probe(start(tmp_path), stable, tmp_path)
    assert status == 3
    assert lines[-1] == "undecided: stable answered 0 of 60 inputs"
    assert lines[0].startswith("input 0: stable: HTTP 400: ")


def test_a_stable_that_does_not_answer_is_undecided(start: Start, tmp_path: Path) -> None:
    golden_classifier(place(tmp_path, 2))
    status, lines = probe(start(tmp_path), f"http://127.0.0.1:{free_port()}", tmp_path)
    assert status == 3
    assert lines[0] == "input 0: stable: no answer (All connection attempts failed)"
    assert lines[-1] == "undecided: stable answered 0 of 60 inputs"
    assert len(lines) == 11


def test_a_model_that_names_no_class_output_fails(
    stable: Server, start: Start, tmp_path: Path
) -> None:
    inputs = {"x": np.array([0], dtype=np.float32)}
    lookup(place(tmp_path, 2), golden_set=golden_set(inputs, {"y": inputs["x"]}))
    status, lines = probe(start(tmp_path), stable, tmp_path)
    assert (status, lines) == (1, ["fail: flowers names no class_output in its metadata"])


def test_the_first_round_is_golden_and_the_seed_fixes_the_others(tmp_path: Path) -> None:
    golden_classifier(place(tmp_path))
    golden = read_golden_set(tmp_path, "flowers", 1)
    cases = list(jittered(golden, SHADOW))
    assert len(cases) == 60
    assert tuple(cases[: len(ROWS)]) == golden.cases
    assert cases == list(jittered(golden, SHADOW))
    assert cases != list(jittered(golden, replace(SHADOW, seed=2)))
    again = np.array([case.inputs[0].data for case in cases[len(ROWS) : 2 * len(ROWS)]])
    spread = np.std(again / ROWS - 1)
    assert 0.03 < spread < 0.07


def answer(label: int | None, score: float = 0.5, version: int = 2) -> Answer:
    outputs = [{"name": "probabilities", "data": [score]}]
    if label is not None:
        outputs.append({"name": "label", "data": [label]})
    return Answer(200, {"model_version": str(version), "outputs": outputs})


ERROR = Answer(500, {"error": "the model failed on this input"})


@pytest.mark.parametrize(
    ("pairs", "status", "reason"),
    [
        ([(answer(1), answer(1))] * 95 + [(answer(1), answer(0))] * 5, PASS, "95 of 100 classes"),
        ([(answer(1), answer(1))] * 94 + [(answer(1), answer(0))] * 6, FAIL, "94 of 100 classes"),
        ([(answer(1), answer(1))] * 94 + [(answer(1), ERROR)] * 6, FAIL, "94 of 100 classes"),
        ([(answer(None), answer(None))] * 100, FAIL, "0 of 100 classes"),
        ([(answer(1), answer(1, version=1))] * 100, FAIL, "0 of 100 classes"),
        ([(answer(1, version=1), answer(1))] * 100, PASS, "100 of 100 classes"),
        ([(answer(1), answer(1))] * 95 + [(ERROR, ERROR)] * 5, PASS, "95 of 95 classes"),
        (
            [(answer(1), answer(1))] * 94 + [(ERROR, ERROR)] * 6,
            UNDECIDED,
            "stable answered 94 of 100",
        ),
        ([(answer(1, 0.25), answer(1, 1))], PASS, "scores differ by up to 0.75"),
    ],
)
def test_the_verdict_at_each_boundary(
    pairs: list[tuple[Answer, Answer]], status: int, reason: str, tmp_path: Path
) -> None:
    golden_classifier(place(tmp_path))
    contract = read_golden_set(tmp_path, "flowers", 1).contract
    tally = Tally()
    for stable, canary in pairs:
        tally.add(stable, canary, contract, 2)
    report = judge(tally, SHADOW)
    assert report.status == status
    assert reason in report.reason
