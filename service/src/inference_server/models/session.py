"""ONNX Runtime sessions: opened with the settings that serving needs, run in three ways."""

import ctypes
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort

from inference_server.models.failures import ModelLoadError, brief
from inference_server.models.hardware import CPU, Providers
from inference_server.models.signature import Tensor, TensorSpec

Run = Callable[[Mapping[str, Tensor]], list[Tensor]]
_MAX_BOUND_SHAPES = 64
_BFLOAT16 = 16  # onnx.TensorProto.BFLOAT16


def open_session(
    content: bytes, folder: Path, threads: int, providers: Providers, *, attested: bool
) -> ort.InferenceSession:
    """A session on the model's bytes; external data is read from `folder`.

    A model that is `attested` by its hash may have none, as the hash does not cover it. Raises
    ModelLoadError (`file`, `hash`). The session may run on the CPU whatever was asked for:
    `get_providers` tells.
    """
    options = ort.SessionOptions()
    options.log_severity_level = 4  # what runs wrong is raised as well, and logged as JSON
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry(
        "session.model_external_initializers_file_folder_path",
        os.devnull if attested else str(folder),
    )
    try:
        session = ort.InferenceSession(content, options, providers=providers)
    except Exception as error:  # ONNX Runtime's errors share no base class
        reason = brief(error)
        for place in (folder, folder.resolve()):  # anybody may read the reason at /health
            reason = reason.replace(f"{place}/", "")
        if attested and os.devnull in reason:
            message = "it has weights in a second file, which its sha256 does not cover"
            raise ModelLoadError("hash", message) from error
        raise ModelLoadError("file", f"no usable ONNX model: {reason}") from error
    session.disable_fallback()
    session._model_bytes = None  # kept for the fallback only: the weights once more
    return session


def make_run(
    session: ort.InferenceSession,
    inputs: Mapping[str, TensorSpec],
    outputs: Mapping[str, TensorSpec],
    *,
    shrink: bool,
    bind: bool,
) -> Run:
    """The leanest way to run this signature; `shrink` gives the arena back after each run."""
    options = None
    if shrink:
        options = ort.RunOptions()
        on_gpu = session.get_providers()[0] != CPU
        arenas = "cpu:0;gpu:0" if on_gpu else "cpu:0"
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", arenas)
    names = list(outputs)
    if any(spec.datatype == "BF16" for spec in (*inputs.values(), *outputs.values())):
        return _RunBits(
            session, {k for k, s in inputs.items() if s.datatype == "BF16"}, names, options
        )
    strings = any(spec.datatype == "BYTES" for spec in (*inputs.values(), *outputs.values()))
    if bind and not strings:
        return _RunBound(session, names, options)
    return _Run(session, names, options)


class _Run:
    """Numpy in, numpy out; ONNX Runtime copies to a GPU and back by itself."""

    def __init__(
        self, session: ort.InferenceSession, names: Sequence[str], options: ort.RunOptions | None
    ) -> None:
        self._session = session
        self._names = names
        self._options = options

    def __call__(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        outputs: list[Tensor] = self._session.run(self._names, feeds, self._options)
        return outputs


class _RunBits:
    """For bfloat16, which numpy lacks: bit patterns in uint16, typed only for ONNX Runtime."""

    def __init__(
        self,
        session: ort.InferenceSession,
        bits: set[str],
        names: Sequence[str],
        options: ort.RunOptions | None,
    ) -> None:
        self._session = session
        self._bits = bits
        self._names = names
        self._options = options

    def __call__(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        values = {name: self._value(name, tensor) for name, tensor in feeds.items()}
        outputs = self._session.run_with_ort_values(self._names, values, self._options)
        return [_to_numpy(value) for value in outputs]

    def _value(self, name: str, tensor: Tensor) -> ort.OrtValue:
        if name in self._bits:
            bits = np.asarray(tensor, order="C")
            return ort.OrtValue.ortvalue_from_numpy_with_onnx_type(bits, _BFLOAT16)
        return ort.OrtValue.ortvalue_from_numpy(tensor)


def _to_numpy(value: ort.OrtValue) -> Tensor:
    if value.element_type() != _BFLOAT16:
        tensor: Tensor = value.numpy()
        return tensor
    shape = value.shape()
    content = ctypes.string_at(value.data_ptr(), 2 * int(np.prod(shape, dtype=np.int64)))
    return np.frombuffer(content, dtype=np.uint16).reshape(shape).copy()


class _RunBound:
    """Inputs and outputs bound to the device: its buffers are kept, per thread and shape."""

    def __init__(
        self, session: ort.InferenceSession, names: Sequence[str], options: ort.RunOptions | None
    ) -> None:
        self._session = session
        self._names = names
        self._options = options
        self._device = "cpu" if session.get_providers()[0] == CPU else "cuda"
        self._local = threading.local()

    def __call__(self, feeds: Mapping[str, Tensor]) -> list[Tensor]:
        kept: dict[str, ort.OrtValue] = self._local.__dict__
        if len(kept) > _MAX_BOUND_SHAPES:
            kept.clear()
        binding = self._session.io_binding()
        for name, tensor in feeds.items():
            key = f"{name}:{tensor.shape}"
            if (value := kept.get(key)) is None:
                value = ort.OrtValue.ortvalue_from_numpy(tensor.copy(), self._device, 0)
                kept[key] = value
            else:
                value.update_inplace(np.asarray(tensor, order="C"))
            binding.bind_ortvalue_input(name, value)
        for name in self._names:
            binding.bind_output(name, self._device)
        self._session.run_with_iobinding(binding, self._options)
        outputs: list[Tensor] = binding.copy_outputs_to_cpu()
        return outputs
