"""From data to the registry and back, embedded and on a real MLflow server."""

import hashlib
import json
import subprocess
import sys
import urllib.request
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from model_pipeline import (
    GateError,
    PipelineError,
    TrainingConfig,
    golden,
    onnx_model,
    parse_env,
    register_model,
    registry,
    train,
)
from model_pipeline.dataset import Dataset

GIT_SHA = "ab" * 20


def noisy(rows: Dataset, share: float) -> Dataset:
    random = np.random.default_rng(0)
    flipped = np.where(random.random(len(rows.labels)) < share, 1 - rows.labels, rows.labels)
    return replace(rows, labels=flipped)


def client(tracking_uri: str):
    return registry.Registry(tracking_uri)._client


def is_registered(tracking_uri: str, name: str) -> bool:
    return bool(client(tracking_uri).search_registered_models(f"name = '{name}'"))


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def test_a_training_ends_as_challenger_with_its_lineage(tracking_uri, rows, tmp_path):
    config = TrainingConfig(
        name="round-trip",
        tracking_uri=tracking_uri,
        git_sha=GIT_SHA,
        release_file=tmp_path / "model-release.env",
        output=tmp_path / "new" / "output",
    )
    result = train(config)

    release = parse_env((tmp_path / "model-release.env").read_text())
    assert release == result.release
    assert release.version == 1
    assert release.uri == "models:/round-trip/1"
    assert release.dataset_version == rows.version
    stored = registry.Registry(tracking_uri).download("round-trip", 1)
    assert hashlib.sha256(stored).hexdigest() == release.sha256
    assert (tmp_path / "new" / "output" / "model.onnx").read_bytes() == stored
    assert golden.is_in(stored)

    version = client(tracking_uri).get_model_version_by_alias("round-trip", "challenger")
    assert int(version.version) == 1
    assert version.tags == {
        "dataset_version": rows.version,
        "training_git_sha": GIT_SHA,
        "model_sha256": release.sha256,
    }
    run = client(tracking_uri).get_run(release.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.params["seed"] == "0"
    assert run.data.metrics == pytest.approx(result.metrics.as_dict())
    assert run.data.tags["training_git_sha"] == GIT_SHA
    report = json.loads((tmp_path / "new" / "output" / "report.json").read_text())
    assert report["metrics"] == result.metrics.as_dict()
    assert report["release"]["MODEL_SHA256"] == release.sha256


def test_every_registration_is_the_next_integer_and_moves_the_alias(tracking_uri, model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    told: list[str] = []
    for expected in (1, 2):
        release = register_model(
            path,
            progress=told.append,
            name="counted",
            tracking_uri=tracking_uri,
            git_sha=GIT_SHA,
            dataset_version="2025-01-02-030405",
            release_file=tmp_path / "model-release.env",
        )
        assert release.version == expected
        assert parse_env((tmp_path / "model-release.env").read_text()) == release
    assert release.sha256 == hashlib.sha256(model).hexdigest()
    assert release.dataset_version == "2025-01-02-030405"
    assert "warning: the model brings no golden set: the gate's golden-set job will fail" in told
    challenger = client(tracking_uri).get_model_version_by_alias("counted", "challenger")
    assert int(challenger.version) == 2


def test_a_plain_rest_client_can_fetch_a_version(server, model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    release = register_model(path, name="fetched", tracking_uri=server, git_sha=GIT_SHA)
    api = f"{server}/api/2.0"
    query = f"name=fetched&version={release.version}"
    answer = json.loads(fetch(f"{api}/mlflow/model-versions/get-download-uri?{query}"))
    scheme, _, place = answer["artifact_uri"].partition(":/")
    assert scheme == "mlflow-artifacts"
    artifact = place.lstrip("/")
    assert fetch(f"{api}/mlflow-artifacts/artifacts/{artifact}/model.onnx") == model


def test_the_embedded_registry_writes_into_its_own_folder_only(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.onnx").write_bytes(model)
    uri = "sqlite:///build/mlflow/mlflow.db"
    register_model(Path("model.onnx"), tracking_uri=uri, git_sha=GIT_SHA)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["build", "model.onnx"]
    assert [path.read_bytes() for path in Path("build/mlflow").rglob("model.onnx")] == [model]


def test_labels_of_noise_stop_before_anything_is_registered(embedded, rows, tmp_path):
    release_file = tmp_path / "model-release.env"
    config = TrainingConfig(
        name="noise", tracking_uri=embedded, git_sha=GIT_SHA, release_file=release_file
    )
    told: list[str] = []
    with pytest.raises(GateError, match=r"nothing is registered: accuracy 0\.\d+ < 0\.8500"):
        train(config, dataset=noisy(rows, 0.4), progress=told.append)
    assert any(line.startswith("gate failed: accuracy") for line in told)
    assert not is_registered(embedded, "noise")
    assert not release_file.exists()


def test_an_accuracy_below_the_expected_one_warns_and_registers(embedded, rows):
    told: list[str] = []
    config = TrainingConfig(name="slightly-noisy", tracking_uri=embedded, git_sha=GIT_SHA)
    result = train(config, dataset=noisy(rows, 0.04), progress=told.append)
    assert 0.85 <= result.metrics.accuracy < 0.95
    assert any(line.startswith("warning: accuracy") for line in told)
    assert is_registered(embedded, "slightly-noisy")


def test_an_export_that_disagrees_stops_before_anything_is_registered(
    embedded, rows, monkeypatch, model
):
    # The model of another seed is a sound one, but not the one that was trained.
    monkeypatch.setattr(onnx_model, "export", lambda *_: model)
    config = TrainingConfig(name="disagrees", tracking_uri=embedded, git_sha=GIT_SHA, seed=1)
    with pytest.raises(GateError, match="agreement"):
        train(config)
    assert not is_registered(embedded, "disagrees")


def test_a_candidate_worse_than_the_champion_stops(embedded, rows, model, tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    register_model(path, name="defended", tracking_uri=embedded, git_sha=GIT_SHA)
    client(embedded).set_registered_model_alias("defended", "champion", "1")
    config = TrainingConfig(name="defended", tracking_uri=embedded, git_sha=GIT_SHA)
    worse = replace(rows, labels=rows.labels.copy())
    train_rows = rows._parts[0]
    random = np.random.default_rng(1)
    worse.labels[train_rows] ^= random.random(len(train_rows)) < 0.3
    # The parts are drawn by label: keep those of the clean rows.
    worse.__dict__["_parts"] = rows._parts
    with pytest.raises(GateError, match=r"champion less 0\.02"):
        train(config, dataset=worse)
    assert train(config).release.version == 2


def test_a_champion_that_cannot_be_measured_does_not_block_its_successor(
    embedded, model, tmp_path, monkeypatch
):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    register_model(path, name="broken-champion", tracking_uri=embedded, git_sha=GIT_SHA)
    client(embedded).set_registered_model_alias("broken-champion", "champion", "1")
    download = registry.Registry.download
    monkeypatch.setattr(
        registry.Registry,
        "download",
        lambda self, name, version: b"" if version == 1 else download(self, name, version),
    )
    told: list[str] = []
    config = TrainingConfig(name="broken-champion", tracking_uri=embedded, git_sha=GIT_SHA)
    assert train(config, progress=told.append).release.version == 2
    assert any("champion 1 cannot be compared with" in line for line in told)


def test_a_registry_that_returns_other_bytes_is_not_released(
    embedded, model, tmp_path, monkeypatch
):
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    monkeypatch.setattr(registry.Registry, "download", lambda *_: model + b"\x00")
    release_file = tmp_path / "model-release.env"
    with pytest.raises(PipelineError, match="do not release this version"):
        register_model(
            path,
            name="other-bytes",
            tracking_uri=embedded,
            git_sha=GIT_SHA,
            release_file=release_file,
        )
    assert not release_file.exists()


def test_a_name_or_folder_that_cannot_be_released_is_refused_before_training(embedded, tmp_path):
    with pytest.raises(PipelineError, match="MODEL_NAME='Breast Cancer'"):
        train(TrainingConfig(name="Breast Cancer", tracking_uri=embedded))
    missing = tmp_path / "missing" / "model-release.env"
    with pytest.raises(PipelineError, match="its folder does not exist"):
        train(TrainingConfig(tracking_uri=embedded, release_file=missing))


def test_a_registry_that_does_not_answer_is_named(tmp_path, model, monkeypatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    with pytest.raises(PipelineError, match=r"^registry http://127\.0\.0\.1:9: "):
        register_model(path, tracking_uri="http://127.0.0.1:9", git_sha=GIT_SHA)


def test_a_database_that_is_none_is_named(tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"no database at all, but text" * 99)
    with pytest.raises(PipelineError, match=rf"registry sqlite:///{tmp_path}/mlflow.db: "):
        registry.Registry(f"sqlite:///{tmp_path}/mlflow.db").champion("any")


def test_a_tracking_folder_that_is_a_file_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(PipelineError, match="registry sqlite:///"):
        registry.Registry(f"sqlite:///{tmp_path}/file/mlflow.db")


@pytest.mark.parametrize("uri", ["./mlruns", "file:///mlruns", "databricks", ""])
def test_other_kinds_of_registry_are_refused(uri):
    with pytest.raises(PipelineError, match="must be sqlite:///PATH or http"):
        registry.Registry(uri)


def test_two_processes_may_create_the_embedded_registry_at_once(tmp_path):
    program = f"from model_pipeline.registry import Registry; Registry('sqlite:///{tmp_path}/m.db')"
    processes = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(2)
    ]
    errors = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], errors


def test_the_process_keeps_its_own_tracking_uri(embedded, model, tmp_path):
    import mlflow

    path = tmp_path / "model.onnx"
    path.write_bytes(model)
    before = mlflow.get_tracking_uri()
    register_model(path, name="polite", tracking_uri=embedded, git_sha=GIT_SHA)
    assert mlflow.get_tracking_uri() == before
    assert mlflow.active_run() is None
