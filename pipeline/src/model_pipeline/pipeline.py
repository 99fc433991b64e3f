"""From data to a registered model version, step by step."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from model_pipeline import dataset as data
from model_pipeline import evaluation, golden, onnx_model, registry, training
from model_pipeline.errors import GateError, PipelineError
from model_pipeline.lineage import training_git_sha
from model_pipeline.release_file import ModelRelease, check_value

DEFAULT_NAME = "breast-cancer"
DEFAULT_TRACKING_URI = "sqlite:///build/mlflow/mlflow.db"

Progress = Callable[[str], None]


def _silent(_: str) -> None:
    """No progress wanted."""


@dataclass(frozen=True)
class TrainingConfig:
    """What a training may be told. `git_sha` None: HEAD of the current folder's repository."""

    name: str = DEFAULT_NAME
    tracking_uri: str = DEFAULT_TRACKING_URI
    seed: int = 0
    git_sha: str | None = None
    release_file: Path | None = None
    output: Path | None = None


@dataclass(frozen=True)
class TrainingResult:
    """A registered model: its release, its ONNX bytes and how it was judged."""

    release: ModelRelease
    model: bytes
    metrics: evaluation.Metrics
    gates: tuple[evaluation.Gate, ...]


def train(
    config: TrainingConfig, *, dataset: data.Dataset | None = None, progress: Progress = _silent
) -> TrainingResult:
    """Train, judge, export, register; then write the release file if one is asked for.

    Raises GateError where the model may not be registered, else PipelineError.
    """
    _check_early(config.name, config.release_file)
    git_sha = training_git_sha(config.git_sha, progress)
    store = registry.Registry(config.tracking_uri)
    rows = data.load() if dataset is None else dataset
    progress(
        f"dataset {rows.version}: {len(rows.labels)} rows, split "
        f"{len(rows.train.labels)}/{len(rows.validation.labels)}/{len(rows.test.labels)}"
    )
    fitted = training.fit(rows, config.seed)
    progress(f"trained with seed {config.seed}, alpha {fitted.parameters['alpha']}")
    model = onnx_model.export(fitted.estimator, config.name, rows.feature_names)
    distance = onnx_model.check_agreement(fitted.estimator, model, rows.test.features)
    progress(f"ONNX of {len(model)} bytes agrees with scikit-learn within {distance:.1e}")
    model = _with_golden_set(model, fitted.estimator, rows.test.features)
    metrics = _measure(model, rows)
    gates = evaluation.gates(metrics, _champion(store, config.name, rows, progress))
    _judge(gates, progress)
    release = _register(
        store,
        model,
        name=config.name,
        dataset_version=rows.version,
        git_sha=git_sha,
        parameters=fitted.parameters,
        metrics=metrics.as_dict(),
        progress=progress,
    )
    result = TrainingResult(release, model, metrics, tuple(gates))
    if config.output is not None:
        _write_output(config.output, result, fitted.parameters)
    if config.release_file is not None:
        release.write(config.release_file)
    return result


def register_model(
    path: Path,
    *,
    name: str = DEFAULT_NAME,
    tracking_uri: str = DEFAULT_TRACKING_URI,
    dataset_version: str | None = None,
    git_sha: str | None = None,
    release_file: Path | None = None,
    progress: Progress = _silent,
) -> ModelRelease:
    """Register an existing ONNX file as the next version. No quality gate is run.

    Raises PipelineError where the file is no ONNX model of the contract.
    """
    _check_early(name, release_file)
    version = dataset_version or data.read_pin()["version"]
    check_value("DATASET_VERSION", version, "--dataset-version")
    sha = training_git_sha(git_sha, progress)
    try:
        content = path.read_bytes()
    except OSError as error:
        raise PipelineError(f"{path}: cannot be read: {error.strerror}") from None
    model = onnx_model.check_contract(content, str(path))
    if not golden.is_in(model):
        progress("warning: the model brings no golden set: the gate's golden-set job will fail")
    release = _register(
        registry.Registry(tracking_uri),
        model,
        name=name,
        dataset_version=version,
        git_sha=sha,
        parameters={"imported_from": path.name},
        metrics={},
        progress=progress,
    )
    if release_file is not None:
        release.write(release_file)
    return release


def _check_early(name: str, release_file: Path | None) -> None:
    """What would otherwise fail only after a version is registered."""
    check_value("MODEL_NAME", name, "--name")
    if release_file is not None and not release_file.parent.is_dir():
        raise PipelineError(f"{release_file}: its folder does not exist: create it first")


def _with_golden_set(model: bytes, estimator: Any, features: data.Features) -> bytes:
    """With scikit-learn's answers, so that everything between training and serving is compared."""
    labels = estimator.predict(features)
    return golden.attach(model, features, labels, estimator.predict_proba(features))


def _measure(model: bytes, rows: data.Dataset) -> evaluation.Metrics:
    labels, scores = onnx_model.predict(model, rows.test.features)
    return evaluation.measure(rows.test.labels, labels, scores[:, -1])


def _champion(
    store: registry.Registry, name: str, rows: data.Dataset, progress: Progress
) -> evaluation.Metrics | None:
    version = store.champion(name)
    if version is None:
        progress("no champion to compare with")
        return None
    try:
        metrics = _measure(store.download(name, version), rows)
    except Exception as error:
        # A champion that cannot be measured must not block the model that replaces it.
        progress(f"warning: champion {version} cannot be compared with: {error}")
        return None
    progress(f"champion {version} has accuracy {metrics.accuracy:.4f}, auc {metrics.auc:.4f}")
    return metrics


def _judge(gates: list[evaluation.Gate], progress: Progress) -> None:
    for gate in gates:
        kind = "gate" if gate.passed else "gate failed" if gate.required else "warning"
        progress(f"{kind}: {gate}")
    failed = [str(gate) for gate in gates if gate.required and not gate.passed]
    if failed:
        raise GateError(f"stopped, nothing is registered: {'; '.join(failed)}")


def _register(
    store: registry.Registry,
    model: bytes,
    *,
    name: str,
    dataset_version: str,
    git_sha: str,
    parameters: Mapping[str, str | int | float],
    metrics: Mapping[str, float],
    progress: Progress,
) -> ModelRelease:
    digest = registry.sha256(model)
    tags = {
        "dataset_version": dataset_version,
        "training_git_sha": git_sha,
        "model_sha256": digest,
    }
    version, run_id = store.register(
        model,
        name,
        run_name=f"{name}-{dataset_version}",
        parameters=parameters,
        metrics=metrics,
        tags=tags,
    )
    stored = registry.sha256(store.download(name, version))
    if stored != digest:
        raise PipelineError(
            f"registry {store.tracking_uri}: {name} {version} comes back with sha256 {stored}, "
            f"{digest} was sent: do not release this version"
        )
    progress(f"registered {name} {version} as {registry.CHALLENGER}, sha256 {digest}")
    uri = f"models:/{name}/{version}"
    return ModelRelease(name, version, uri, digest, run_id, dataset_version, git_sha)


def _write_output(
    folder: Path, result: TrainingResult, parameters: Mapping[str, str | int | float]
) -> None:
    report = {
        "metrics": result.metrics.as_dict(),
        "parameters": dict(parameters),
        "gates": [{"gate": str(gate), "passed": gate.passed} for gate in result.gates],
        "release": dict(line.split("=", 1) for line in result.release.to_env().splitlines()),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / registry.ONNX_FILE).write_bytes(result.model)
        (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n")
    except OSError as error:
        raise PipelineError(f"{folder}: cannot be written: {error.strerror}") from None
