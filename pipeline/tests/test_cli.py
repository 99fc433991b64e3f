"""The command: result on stdout, progress on stderr, one exit status per outcome."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_pipeline import cli, dataset, parse_env

GIT_SHA = "ab" * 20


def common(tracking_uri: str) -> list[str]:
    return ["--tracking-uri", tracking_uri, "--git-sha", GIT_SHA]


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    command = Path(sys.executable).parent / "model-pipeline"
    return subprocess.run(
        [command, *arguments], capture_output=True, text=True, check=False, timeout=120
    )


def test_train_prints_the_release_and_tells_its_progress(embedded, tmp_path):
    done = run(
        *("train", "--tracking-uri", embedded, "--name", "by-command", "--git-sha", GIT_SHA),
        *("--release-file", str(tmp_path / "model-release.env"), "--seed", "3"),
    )
    assert done.returncode == 0, done.stderr
    assert parse_env(done.stdout).name == "by-command"
    assert (tmp_path / "model-release.env").read_text() == done.stdout
    lines = done.stderr.splitlines()
    assert lines[0] == "dataset 2026-11-21-120000: 569 rows, split 398/85/86"
    assert lines[-1].startswith("registered by-command 1 as challenger, sha256 ")
    # Nothing of MLflow's own chatter between ours.
    starts = ("dataset", "trained", "ONNX", "no champion", "gate", "registered")
    assert [line for line in lines if not line.startswith(starts)] == []


def test_register_prints_the_release(embedded, model, tmp_path, capsys):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    status = cli.main(
        ["register", str(path), "--name", "imported", *common(embedded)],
    )
    captured = capsys.readouterr()
    assert status == 0
    assert parse_env(captured.out).uri == "models:/imported/1"
    assert "\nregistered imported 1 as challenger" in captured.err


def test_a_gate_that_stops_ends_with_status_1(embedded, rows, monkeypatch, capsys):
    flipped = np.where(np.random.default_rng(0).random(569) < 0.4, 1 - rows.labels, rows.labels)
    monkeypatch.setattr(dataset, "load", lambda: replace(rows, labels=flipped))
    status = cli.main(["train", *common(embedded)])
    captured = capsys.readouterr()
    assert status == 1
    assert captured.out == ""
    assert "model-pipeline: stopped, nothing is registered: accuracy" in captured.err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["train", "--seed", "-1"], "must be an integer from 0 to"),
        (["train", "--seed", "4294967296"], "must be an integer from 0 to"),
        (["register"], "required: FILE.onnx"),
    ],
)
def test_misuse_ends_with_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(arguments)
    assert stopped.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--git-sha", "main"], "--git-sha 'main': not a full commit id"),
        (["register", "/missing.onnx"], "/missing.onnx: cannot be read: No such file"),
        (
            ["register", "x.onnx", "--dataset-version", "today"],
            "--dataset-version: DATASET_VERSION='today'",
        ),
        (["train", "--tracking-uri", "mlruns"], "tracking URI 'mlruns'"),
    ],
)
def test_unusable_input_ends_with_status_2_and_one_line(arguments, message, capsys):
    if "--git-sha" not in arguments:
        arguments = [*arguments, "--git-sha", GIT_SHA]
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1].startswith(f"model-pipeline: {message}")


def test_a_register_of_something_else_ends_with_status_2(tmp_path, capsys):
    path = tmp_path / "model.onnx"
    path.write_text("no model")
    assert cli.main(["register", str(path), "--git-sha", GIT_SHA]) == 2
    assert f"{path}: not an ONNX model that loads" in capsys.readouterr().err


def test_an_output_folder_that_is_a_file_ends_with_status_2(embedded, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    status = cli.main(
        ["train", "--name", "unwritable", "--output", str(tmp_path / "file"), *common(embedded)]
    )
    assert status == 2
    assert f"{tmp_path}/file: cannot be written" in capsys.readouterr().err


def test_an_interrupt_ends_without_a_traceback(embedded, monkeypatch, capsys):
    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(dataset, "load", interrupt)
    assert cli.main(["train", *common(embedded)]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_the_help_says_that_register_runs_no_gates(capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main(["register", "--help"])
    assert stopped.value.code == 0
    assert "No quality gate is run" in " ".join(capsys.readouterr().out.split())


def test_importing_the_package_imports_no_registry_and_no_training_library():
    loaded = "import sys, model_pipeline.cli; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", loaded],
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"]},
    )
    assert not {"mlflow", "sklearn", "onnx", "onnxruntime"} & set(done.stdout.split())
