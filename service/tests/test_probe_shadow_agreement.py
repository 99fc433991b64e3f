"""`probe shadow-agreement` against two real servers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from inference_server.probe.client import Answer
from inference_server.probe.golden import Case, Tensor, read_golden_set
from inference_server.probe.outcome import FAIL, PASS, UNDECIDED
from inference_server.probe.shadow_agreement import Shadow, Tally, jittered, judge

from .conftest import Server, Start, free_port
from .golden_models import ROWS, ask, golden_classifier, golden_set
from .onnx_models import lookup

SHADOW = Shadow("http://stable", inputs=60, jitter=0.05, seed=1, minimum=0.95)


def place(folder: Path, name: str, version: int) -> Path:
    return folder / name / str(version) / "model.onnx"


def probe(
    name: str, repository: Path, canary: Server, stable: Server | str
) -> tuple[int, list[str]]:
    """Exit status and lines after the first of 60 inputs and a minimum of 95 %."""
    before = stable if isinstance(stable, str) else stable.client.base_url
    status, lines, errors = ask(
        *("shadow-agreement", "--inputs=60", "--jitter=0.05", "--seed=1", "--minimum=0.95"),
        *(f"--url={canary.client.base_url}", f"--stable-url={before}", "--patience=0"),
        *(f"--name={name}", "--version=2", f"--repository={repository}"),
    )
    assert errors == ""
    return status, lines[1:]


@pytest.fixture(scope="module")
def stable(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    folder = tmp_path_factory.mktemp("stable")
    for name in ("alike", "otherwise"):
        golden_classifier(place(folder, name, 1))
    lookup(place(folder, "nameless", 1))
    return start_anywhere(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("canary")
    golden_classifier(place(folder, "alike", 2), scale=1.5)
    golden_classifier(place(folder, "otherwise", 2), scale=-1)
    golden_classifier(place(folder, "new", 2))
    row = {"x": np.array([0], dtype=np.float32)}
    lookup(place(folder, "nameless", 2), golden_set=golden_set(row, {"y": row["x"]}))
    return folder


@pytest.fixture(scope="module")
def canary(models: Path, start_anywhere: Start) -> Server:
    return start_anywhere(models)


def test_a_canary_that_decides_alike_passes(canary: Server, stable: Server, models: Path) -> None:
    status, lines = probe("alike", models, canary, stable)
    assert status == 0
    assert lines[0].startswith(
        "pass: 60 of 60 classes agree (100.00%, at least 95.00% is asked for), scores differ by "
    )
    # 1/(1 + exp(-3x)) and 1/(1 + exp(-2x)) are nowhere further apart than 0.0897 (at x = 0.62).
    assert 0.05 < float(lines[0].split()[-1]) <= 0.0897


def test_a_canary_that_decides_otherwise_fails(
    canary: Server, stable: Server, models: Path
) -> None:
    status, lines = probe("otherwise", models, canary, stable)
    assert status == 1
    assert lines[0].startswith("fail: 0 of 60 classes agree (0.00%, ")


def test_a_model_that_stable_does_not_have_is_undecided(
    canary: Server, stable: Server, models: Path
) -> None:
    status, lines = probe("new", models, canary, stable)
    assert status == 3
    assert lines[0] == "input 0: stable: HTTP 404: unknown model 'new'"
    assert lines[-1] == "undecided: stable answered 0 of 60 inputs"
    assert len(lines) == 11


def test_a_stable_that_does_not_answer_is_undecided(canary: Server, models: Path) -> None:
    status, lines = probe("alike", models, canary, f"http://127.0.0.1:{free_port()}")
    assert status == 3
    assert lines[0] == "input 0: stable: no answer (All connection attempts failed)"
    assert lines[-1] == "undecided: stable answered 0 of 60 inputs"


def test_a_model_that_names_no_class_output_fails(
    canary: Server, stable: Server, models: Path
) -> None:
    status, lines = probe("nameless", models, canary, stable)
    assert (status, lines) == (1, ["fail: nameless names no class_output in its metadata"])


def test_the_first_round_is_golden_and_the_seed_fixes_the_others(tmp_path: Path) -> None:
    golden_classifier(place(tmp_path, "flowers", 1))
    golden = read_golden_set(tmp_path, "flowers", 1)
    cases = list(jittered(golden, SHADOW))
    assert len(cases) == 60
    assert tuple(cases[: len(ROWS)]) == golden.cases
    assert cases == list(jittered(golden, SHADOW))
    assert cases != list(jittered(golden, replace(SHADOW, seed=2)))
    text = Tensor("x", "BYTES", (1,), ("as it is",))
    worded = replace(golden, cases=(Case((text,), ()),))
    assert {case.inputs[0] for case in jittered(worded, SHADOW)} == {text}
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
    pairs: list[tuple[Answer, Answer]], status: int, reason: str, models: Path
) -> None:
    contract = read_golden_set(models, "alike", 2).contract
    tally = Tally()
    for stable, canary in pairs:
        tally.add(stable, canary, contract, 2)
    report = judge(tally, SHADOW)
    assert report.status == status
    assert reason in report.reason
