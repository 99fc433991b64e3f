"""One version of one model in memory: an ONNX Runtime session and what is known of it."""

import hashlib
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import onnxruntime as ort

from inference_server.models.config import ModelConfig
from inference_server.models.contract import ContractError, ModelContract, read_contract
from inference_server.models.failures import (
    InferenceError,
    ModelLoadError,
    brief,
    is_allocation_failure,
)
from inference_server.models.hardware import CPU, TENSORRT, Hardware, Providers, choose_providers
from inference_server.models.session import Run, make_run, open_session
from inference_server.models.signature import Tensor, TensorSpec, UnsupportedTensorError, read_spec
from inference_server.models.warm_up import is_faster, warm_up

__all__ = ["Hardware", "InferenceError", "Model", "ModelFile", "ModelLoadError"]

_DEFAULT_BATCH = 32
_QUICK_BATCHES = (64, 128, 256)  # as well, on a CPU, while a run of half as many is quick
_SMALL = 0.5e-3  # seconds of a row; beyond it several threads win
_GPU_TOLERANCE = 1e-2  # TF32 and kernels that differ by size

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelFile:
    """A model version in the repository: its file, config, and the hash it must have, if known.

    `stamp` changes when the file or a config does; `problem` says why it cannot be loaded.
    """

    name: str
    version: int
    path: Path
    expected_sha256: str | None = None
    config: ModelConfig = field(default_factory=ModelConfig)
    stamp: tuple[object, ...] = ()
    problem: str | None = None


class Model:
    """A loaded model; `run` may be called from several threads at once.

    `seconds` holds the time of a run by its rows, as measured at warm-up; batches are at most
    `max_batch_size` rows (1 where rows cannot be joined), and on a GPU padded to `buckets`;
    `threads` compute one run.
    """

    name: str
    version: int
    sha256: str
    provider: str
    device: str
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    contract: ModelContract
    config: ModelConfig
    batchable: bool
    max_batch_size: int
    threads: int
    buckets: tuple[int, ...]
    seconds: dict[int, float]

    def __init__(self, file: ModelFile, hardware: Hardware) -> None:
        """Read, verify, load and warm the file up; raises ModelLoadError."""
        self.name = file.name
        self.version = file.version
        self.config = file.config
        content, self.sha256 = _read(file)
        self.threads = file.config.intra_op_threads or hardware.intra_op_threads or hardware.cpus
        providers = choose_providers(file.config, hardware, self.sha256)
        session = self._open(content, file, self.threads, providers)
        self.provider = session.get_providers()[0]
        self.device = "cpu" if self.provider == CPU else "gpu:0"
        if hardware.demands_gpu(file.config) and self.provider == CPU:
            message = "a GPU is required, but ONNX Runtime took the CPU"
            raise ModelLoadError("gpu", message, self.provider)
        self.inputs, self.outputs, self.contract = _describe(session)
        self._output_names = list(self.outputs)
        self._run = self._make_run(session)
        self._warm_up()
        fixed = file.config.intra_op_threads or hardware.intra_op_threads
        if self.provider == CPU and self.threads > 1 and not fixed:
            self._prefer_one_thread(content, file)

    @staticmethod
    def _open(
        content: bytes, file: ModelFile, threads: int, providers: Providers
    ) -> ort.InferenceSession:
        attested = file.expected_sha256 is not None
        return open_session(content, file.path.parent, threads, providers, attested=attested)

    def _make_run(self, session: ort.InferenceSession) -> Run:
        return make_run(
            session,
            self.inputs,
            self.outputs,
            shrink=self.config.arena_shrinkage,
            bind=self.config.gpu.io_binding and self.provider != CPU,
        )

    def _prefer_one_thread(self, content: bytes, file: ModelFile) -> None:
        """Take one thread where that is faster: waking others costs more than a small model."""
        if self.seconds[1] > _SMALL:
            return
        run = self._make_run(self._open(content, file, 1, [(CPU, {})]))
        if is_faster(run, self._run, self.inputs, self.config.warm_up_shapes):
            self.threads, self._run = 1, run
            self._warm_up()

    def _warm_up(self) -> None:
        config = self.config
        sizes = batch_sizes(config)
        if self.provider == TENSORRT:
            sizes = sizes[::-1]  # an engine for the largest batch serves the smaller ones
        tolerance = config.batch_tolerance
        if tolerance is None:
            tolerance = 0 if self.provider == CPU else _GPU_TOLERANCE
        unbound = self.provider == CPU and not (config.max_batch_size or config.batch_buckets)
        observed = warm_up(
            self._run,
            self.inputs,
            self.outputs,
            config.warm_up_shapes,
            sizes,
            tolerance,
            larger=_QUICK_BATCHES if unbound else (),
        )
        self.seconds = observed.seconds
        self.batchable = observed.unbatchable is None
        self.buckets = tuple(sorted(self.seconds))
        self.max_batch_size = self.buckets[-1]
        if observed.unbatchable:
            _log.info(
                "batching is off",
                extra={
                    "model_id": self.name,
                    "model_version": self.version,
                    "reason": observed.unbatchable,
                },
            )

    def run(self, feeds: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """All outputs for validated inputs; raises InferenceError."""
        try:
            values = self._run(feeds)
        except Exception as error:  # ONNX Runtime's errors share no base class
            memory = is_allocation_failure(error)
            raise InferenceError(brief(error), memory=memory) from error
        return dict(zip(self._output_names, values, strict=True))


def batch_sizes(config: ModelConfig) -> tuple[int, ...]:
    """The sizes to warm up: the configured buckets, or the powers of two up to the maximum."""
    if config.batch_buckets:
        return config.batch_buckets
    largest = config.max_batch_size or _DEFAULT_BATCH
    return (*(2**power for power in range(largest.bit_length()) if 2**power < largest), largest)


def _read(file: ModelFile) -> tuple[bytes, str]:
    try:
        content = file.path.read_bytes()
    except OSError as error:
        raise ModelLoadError("missing", f"cannot read {file.path.name}: {error.strerror}") from None
    digest = hashlib.sha256(content).hexdigest()
    if file.expected_sha256 is not None and digest != file.expected_sha256:
        raise ModelLoadError("hash", f"sha256 is {digest}, expected {file.expected_sha256}")
    return content, digest


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
