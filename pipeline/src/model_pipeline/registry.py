"""The model registry: MLflow, embedded (SQLite and a folder) or as a server."""

import contextlib
import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from model_pipeline.errors import PipelineError

CHALLENGER = "challenger"
CHAMPION = "champion"
ONNX_FILE = "model.onnx"
_EMBEDDED = "sqlite:///"

# Read by MLflow when it is imported; what the user has set himself stays.
_SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
}


class Registry:
    """One tracking server with its model registry.

    Every method raises PipelineError where the server or database does not answer.
    """

    def __init__(self, tracking_uri: str) -> None:
        """`sqlite:///PATH` (created where missing) or `http(s)://HOST:PORT`."""
        self.tracking_uri = tracking_uri
        self._artifacts: str | None = None
        if not tracking_uri.startswith((_EMBEDDED, "http://", "https://")):
            raise PipelineError(
                f"tracking URI {tracking_uri!r}: must be sqlite:///PATH or http(s)://HOST:PORT"
            )
        with self._reported():
            self._mlflow = _import_mlflow()
            if tracking_uri.startswith(_EMBEDDED):
                self._embed(Path(tracking_uri.removeprefix(_EMBEDDED)).resolve())
            self._client = self._mlflow.MlflowClient(self.tracking_uri)

    def _embed(self, database: Path) -> None:
        """Create the database beside its artifacts; MLflow itself does so on first use.

        Two processes that create the tables at once would break each other's migration.
        """
        database.parent.mkdir(parents=True, exist_ok=True)
        self.tracking_uri = f"{_EMBEDDED}{database}"
        self._artifacts = (database.parent / "artifacts").as_uri()
        with database.with_name(f"{database.name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            self._mlflow.MlflowClient(self.tracking_uri).search_experiments(max_results=1)

    def register(
        self,
        model: bytes,
        name: str,
        *,
        run_name: str,
        parameters: Mapping[str, str | int | float],
        metrics: Mapping[str, float],
        tags: Mapping[str, str],
    ) -> tuple[int, str]:
        """Log a run with its model and register it as the next version, alias `challenger`.

        Returns the integer version and the run id. `tags` go to the run and the version.
        """
        with self._reported(), self._run(name, run_name, tags) as run_id:
            for key, value in parameters.items():
                self._client.log_param(run_id, key, value)
            for key, number in metrics.items():
                self._client.log_metric(run_id, key, number)
            logged = self._log_model(model, name)
            with contextlib.suppress(self._mlflow.exceptions.MlflowException):
                self._client.create_registered_model(name)
            created = self._client.create_model_version(
                name, logged.model_uri, run_id, tags=dict(tags), model_id=logged.model_id
            )
            self._client.set_registered_model_alias(name, CHALLENGER, created.version)
        return int(created.version), run_id

    def download(self, name: str, version: int) -> bytes:
        """`model.onnx` of a version, as any client of the registry gets it."""
        with self._reported(), tempfile.TemporaryDirectory() as folder:
            place = self._client.get_model_version_download_uri(name, str(version))
            path = self._mlflow.artifacts.download_artifacts(
                artifact_uri=f"{place}/{ONNX_FILE}",
                dst_path=folder,
                tracking_uri=self.tracking_uri,
            )
            return Path(path).read_bytes()

    def champion(self, name: str) -> int | None:
        """The version with the alias `champion`, if there is one."""
        with self._reported():
            registered = self._client.search_registered_models(f"name = '{name}'")
            if not registered or CHAMPION not in registered[0].aliases:
                return None
            return int(registered[0].aliases[CHAMPION])

    def _log_model(self, model: bytes, name: str) -> Any:
        import onnx
        import onnxruntime

        # Given requirements: else MLflow starts a process that imports the model to infer them.
        requirements = [f"onnx=={onnx.__version__}", f"onnxruntime=={onnxruntime.__version__}"]
        return self._mlflow.onnx.log_model(
            onnx.load_from_string(model),
            name=name,
            pip_requirements=requirements,
            save_as_external_data=False,
        )

    @contextlib.contextmanager
    def _run(self, name: str, run_name: str, tags: Mapping[str, str]) -> Iterator[str]:
        """A run that ends FINISHED or FAILED; log_model needs it to be the process's active one."""
        before = self._mlflow.get_tracking_uri()
        self._mlflow.set_tracking_uri(self.tracking_uri)
        try:
            experiment = self._client.get_experiment_by_name(name)
            identifier = (
                experiment.experiment_id
                if experiment
                else self._client.create_experiment(name, artifact_location=self._artifacts)
            )
            with self._mlflow.start_run(
                experiment_id=identifier, run_name=run_name, tags=dict(tags)
            ) as run:
                yield run.info.run_id
        finally:
            self._mlflow.set_tracking_uri(before)

    @contextlib.contextmanager
    def _reported(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            reason = str(error).strip().split("\n")[0]
            raise PipelineError(f"registry {self.tracking_uri}: {reason}") from error


def sha256(model: bytes) -> str:
    """Hex digest."""
    return hashlib.sha256(model).hexdigest()


def _import_mlflow() -> Any:
    for key, value in _SETTINGS.items():
        os.environ.setdefault(key, value)
    import mlflow
    import mlflow.onnx

    return mlflow
