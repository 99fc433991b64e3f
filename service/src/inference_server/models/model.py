"""One version of one model in memory: an ONNX Runtime session and what watches it."""

import hashlib
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import onnxruntime as ort

from inference_server.models.contract import ContractError, ModelContract, read_contract
from inference_server.models.signature import Tensor, TensorSpec, UnsupportedTensorError, read_spec
from inference_server.observability.metrics import Metrics
from inference_server.observability.monitor import OutputMonitor

_GPU = "CUDAExecutionProvider"
_CPU = "CPUExecutionProvider"


class ModelLoadError(Exception):
    """A model that cannot be made ready; `reason` is a metric label, the message is for people."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class InferenceError(Exception):
    """ONNX Runtime failed while running a valid request."""


@dataclass(frozen=True)
class ModelFile:
    """A model version in the repository folder, and the hash it must have, if one is known."""

    name: str
    version: int
    path: Path
    expected_sha256: str | None = None


@dataclass(frozen=True)
class Hardware:
    """Where and how sessions run."""

    require_gpu: bool
    intra_op_threads: int


class Model:
    """A loaded model; `run` may be called from several threads at once."""

    def __init__(self, file: ModelFile, hardware: Hardware, metrics: Metrics) -> None:
        """Read, verify, load and warm the file up; raises ModelLoadError."""
        self.name = file.name
        self.version = file.version
        content, self.sha256 = _read(file)
        self._session = _open_session(content, file.path.parent, hardware)
        self.provider = self._session.get_providers()[0]
        metrics.runs_on(file.name, file.version, self.provider, hardware.require_gpu)
        if hardware.require_gpu and self.provider == _CPU:
            raise ModelLoadError("gpu", "a GPU is required, but ONNX Runtime took the CPU")
        self.inputs, self.outputs, self.contract = _describe(self._session)
        self._output_names = list(self.outputs)
        self._metrics = metrics.model(file.name, file.version, self.contract.class_names)
        self._monitor = OutputMonitor(self.contract, self._metrics)
        self._warm_up()
        metrics.loaded(file.name, file.version, self.sha256, self.contract.framework)
        self._metrics.ready.set(1)

    def _warm_up(self) -> None:
        feeds = {spec.name: spec.sample() for spec in self.inputs.values()}
        try:
            self._session.run(None, feeds)
        except Exception as error:  # ONNX Runtime's errors share no base class
            raise ModelLoadError("warm_up", f"the warm-up run failed: {_brief(error)}") from error

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All outputs for validated inputs; raises InferenceError."""
        start = time.perf_counter()
        try:
            values = self._session.run(self._output_names, feeds)
        except Exception as error:  # ONNX Runtime's errors share no base class
            self._metrics.errors["runtime"].inc()
            raise InferenceError(_brief(error)) from error
        self._metrics.seconds.observe(time.perf_counter() - start)
        outputs = dict(zip(self._output_names, values, strict=True))
        rows = _rows(feeds)
        self._metrics.rows.inc(rows)
        self._metrics.batch_size.observe(rows)
        self._monitor.observe(outputs)
        return outputs


def _read(file: ModelFile) -> tuple[bytes, str]:
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise ModelLoadError("missing", f"cannot read {file.path.name}: {error.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    if file.expected_sha256 is not None and digest != file.expected_sha256:
        raise ModelLoadError("hash", f"sha256 is {digest}, expected {file.expected_sha256}")
    return content, digest


def _open_session(content: bytes, folder: Path, hardware: Hardware) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what runs wrong is raised as well, and logged as JSON
    options.intra_op_num_threads = hardware.intra_op_threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path", str(folder)
    )
    try:
        session = ort.InferenceSession(content, options, providers=_providers())
    except Exception as error:  # ONNX Runtime's errors share no base class
        raise ModelLoadError("file", f"no usable ONNX model: {_brief(error)}") from error
    session.disable_fallback()
    return session


def _providers() -> list[str]:
    if _GPU not in ort.get_available_providers():
        return [_CPU]
    ort.preload_dlls()  # CUDA from Python packages is found only after this
    return [_GPU, _CPU]


def _describe(
    session: ort.InferenceSession,
) -> tuple[dict[str, TensorSpec], dict[str, TensorSpec], ModelContract]:
    try:
        inputs = {argument.name: read_spec(argument) for argument in session.get_inputs()}
        outputs = {argument.name: read_spec(argument) for argument in session.get_outputs()}
        contract = read_contract(session.get_modelmeta().custom_metadata_map, set(outputs))
    except (UnsupportedTensorError, ContractError) as error:
        raise ModelLoadError("signature", str(error)) from error
    return inputs, outputs, contract


def _rows(feeds: Mapping[str, Tensor]) -> int:
    first = next(iter(feeds.values()), None)
    return first.shape[0] if first is not None and first.ndim else 1


def _brief(error: Exception) -> str:
    """ONNX Runtime's message in one line of bounded length."""
    return " ".join(str(error).split())[:300]
