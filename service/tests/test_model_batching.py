"""Rows are joined only where a probe has shown that they do not influence each other."""

import logging
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from inference_server.models.config import ModelConfig
from inference_server.models.hardware import Hardware, choose_providers, gpu_name
from inference_server.models.model import InferenceError, Model, ModelFile, ModelLoadError
from inference_server.models.session import Run
from inference_server.models.signature import Tensor, TensorSpec
from inference_server.models.warm_up import warm_up
from onnx import TensorProto

from .onnx_models import FLOAT, classifier, echo, logarithm, lookup, node, pair, value, write

KINDS = {
    "BOOL": np.array([True, False]),
    "UINT8": np.array([0, 255], np.uint8),
    "UINT16": np.array([0, 65535], np.uint16),
    "UINT32": np.array([0, 2**32 - 1], np.uint32),
    "UINT64": np.array([0, 2**64 - 1], np.uint64),
    "INT8": np.array([-128, 127], np.int8),
    "INT16": np.array([-(2**15), 1], np.int16),
    "INT32": np.array([-(2**31), 1], np.int32),
    "INT64": np.array([-(2**63), 1], np.int64),
    "FLOAT16": np.array([0.5, -65504], np.float16),
    "BFLOAT16": np.array([0x3F80, 0x7FC0], np.uint16),
    "FLOAT": np.array([0.1, -1], np.float32),
    "DOUBLE": np.array([0.1, -1], np.float64),
    "STRING": np.array(["ä", ""], np.object_),
}


def load(path: Path, hardware: Hardware | None = None, **config: Any) -> Model:
    file = ModelFile("m", 1, path, config=ModelConfig(**config))
    return Model(file, hardware or Hardware())


def centred(path: Path) -> Path:
    """Subtracts the mean of the batch: the classic way in which rows mix."""
    return write(
        path,
        [node("ReduceMean", "x axes", "mean", keepdims=1), node("Sub", "x mean", "y")],
        [value("x", FLOAT, "N", 3)],
        [value("y", FLOAT, "N", 3)],
        {"axes": np.array([0])},
    )


def test_independent_rows_are_joined_and_every_bucket_is_timed(tmp_path: Path) -> None:
    model = load(classifier(tmp_path / "m.onnx"))
    assert model.batchable
    assert model.buckets[:6] == (1, 2, 4, 8, 16, 32)
    assert model.buckets == tuple(model.seconds)
    assert model.max_batch_size == model.buckets[-1]
    assert all(seconds > 0 for seconds in model.seconds.values())


ROWS = {"x": TensorSpec("x", "FP32", np.dtype(np.float32), ("N", 1))}


def observe(run: Run) -> list[int]:
    """Sizes of which warm-up makes use."""
    return list(warm_up(run, ROWS, ROWS, {}, (1, 2, 4), 0, larger=(8, 16)).seconds)


def test_larger_batches_are_tried_while_a_run_is_quick() -> None:
    def run(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        if len(feeds["x"]) == 8:
            time.sleep(0.001)
        return [feeds["x"]]

    assert observe(run) == [1, 2, 4, 8]


def test_a_larger_batch_in_which_rows_mix_is_not_used() -> None:
    def run(feeds: Mapping[str, Tensor]) -> list[Tensor]:
        return [feeds["x"] + (len(feeds["x"]) > 8)]

    assert observe(run) == [1, 2, 4, 8]


def test_the_configured_buckets_are_the_sizes(tmp_path: Path) -> None:
    assert load(classifier(tmp_path / "m.onnx"), max_batch_size=24).buckets == (1, 2, 4, 8, 16, 24)
    assert load(classifier(tmp_path / "m.onnx"), batch_buckets=(3, 9)).max_batch_size == 9


@pytest.mark.parametrize("make", [pair, lookup, logarithm])
def test_models_with_several_inputs_or_strange_values_are_joined(tmp_path: Path, make: Any) -> None:
    assert load(make(tmp_path / "m.onnx")).batchable


def test_rows_that_mix_are_not_joined_and_the_log_says_why(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        model = load(centred(tmp_path / "m.onnx"))
    assert not model.batchable
    assert model.buckets == (1,)
    assert "rows influence each other: output 'y'" in caplog.records[-1].__dict__["reason"]


def test_a_tolerance_forgives_only_what_it_says(tmp_path: Path) -> None:
    centred(tmp_path / "m.onnx")
    assert not load(tmp_path / "m.onnx", batch_tolerance=0.01).batchable
    assert load(tmp_path / "m.onnx", batch_tolerance=1.0).batchable


def test_max_batch_size_1_switches_batching_off(tmp_path: Path) -> None:
    assert not load(classifier(tmp_path / "m.onnx"), max_batch_size=1).batchable


@pytest.mark.parametrize(
    ("inputs", "outputs", "nodes"),
    [
        ([["x", 1, 3]], ["y", 1, 3], [node("Relu", "x", "y")]),
        ([["x", "N", "N"]], ["y", "N", "N"], [node("Relu", "x", "y")]),
        ([["x", "N"], ["z", "M"]], ["y", "K"], [node("Concat", "x z", "y", axis=0)]),
        ([["x", "N"]], ["y"], [node("ReduceSum", "x", "y", keepdims=0)]),
        ([["x", "N"]], ["y", "M"], [node("Concat", "x x", "y", axis=0)]),
    ],
)
def test_a_signature_that_forbids_it_is_not_joined(
    tmp_path: Path, inputs: list[Any], outputs: list[Any], nodes: list[Any]
) -> None:
    specs = [value(name, FLOAT, *shape) for name, *shape in inputs]
    path = write(tmp_path / "m.onnx", nodes, specs, [value(outputs[0], FLOAT, *outputs[1:])])
    assert not load(path).batchable


@pytest.mark.parametrize("kind", KINDS)
def test_every_datatype_of_onnx_passes_through(tmp_path: Path, kind: str) -> None:
    model = load(echo(tmp_path / "m.onnx", getattr(TensorProto, kind)))
    given = KINDS[kind]
    answer = model.run({"x": given})["y"]
    assert answer.dtype == given.dtype
    np.testing.assert_array_equal(answer, given)
    assert model.batchable


def test_a_bfloat16_scalar_keeps_its_shape(tmp_path: Path) -> None:
    spec = [value("x", TensorProto.BFLOAT16)], [value("y", TensorProto.BFLOAT16)]
    model = load(write(tmp_path / "m.onnx", [node("Identity", "x", "y")], *spec))
    answer = model.run({"x": np.array(0x4049, np.uint16)})["y"]
    assert (answer.shape, int(answer)) == ((), 0x4049)


def test_dynamic_inner_dimensions_are_warmed_up_as_told(tmp_path: Path) -> None:
    path = write(
        tmp_path / "m.onnx",
        [node("MatMul", "x w", "y")],
        [value("x", FLOAT, "N", "K")],
        [value("y", FLOAT, "N", 2)],
        {"w": np.ones((5, 2), np.float32)},
    )
    with pytest.raises(ModelLoadError) as caught:
        load(path)
    assert caught.value.reason == "warm_up"
    assert load(path, warm_up_shapes={"x": (5,)}).batchable


def test_arena_shrinkage_changes_no_answer(tmp_path: Path) -> None:
    path = classifier(tmp_path / "m.onnx")
    feeds = {"features": np.random.default_rng(1).random((8, 3)).astype(np.float32)}
    plain, shrinking = load(path).run(feeds), load(path, arena_shrinkage=True).run(feeds)
    np.testing.assert_array_equal(plain["probabilities"], shrinking["probabilities"])


def test_a_failing_run_and_a_lack_of_memory_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(InferenceError) as caught:
        load(lookup(tmp_path / "m.onnx")).run({"x": np.array([9], np.float32)})
    assert not caught.value.memory
    path = write(
        tmp_path / "large.onnx",
        [node("Expand", "one shape", "y")],
        [value("shape", TensorProto.INT64, 2)],
        [value("y", FLOAT, "A", "B")],
        {"one": np.ones((1, 1), np.float32)},
    )
    with pytest.raises(InferenceError) as caught:
        load(path).run({"shape": np.array([2**20, 2**24], np.int64)})
    assert caught.value.memory


def test_a_gpu_that_is_demanded_but_not_there_is_refused(tmp_path: Path) -> None:
    path = classifier(tmp_path / "m.onnx")
    for hardware, config in ((Hardware(require_gpu=True), {}), (None, {"providers": ("cuda",)})):
        with pytest.raises(ModelLoadError) as caught:
            load(path, hardware, **config)
        assert (caught.value.reason, caught.value.provider) == ("gpu", "CPUExecutionProvider")
    assert load(path, providers=("cuda", "cpu")).device == "cpu"


def test_providers_get_the_settings_that_serving_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "onnxruntime.get_available_providers",
        lambda: ["TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"],
    )
    hardware = Hardware(gpu_memory_bytes=2**30, tensorrt=True, engine_cache=tmp_path)
    chosen = dict(choose_providers(ModelConfig(), hardware, "abc"))
    assert list(chosen) == [
        "TensorrtExecutionProvider",
        "CUDAExecutionProvider",
        "CPUExecutionProvider",
    ]
    cuda, tensorrt = chosen["CUDAExecutionProvider"], chosen["TensorrtExecutionProvider"]
    assert cuda["cudnn_conv_algo_search"] == "HEURISTIC"
    assert cuda["arena_extend_strategy"] == "kSameAsRequested"
    assert cuda["gpu_mem_limit"] == str(2**30)
    assert tensorrt["trt_engine_cache_path"].endswith("/abc")
    assert Path(tensorrt["trt_timing_cache_path"]).parent == tmp_path
    assert "TensorrtExecutionProvider" not in dict(choose_providers(ModelConfig(), Hardware(), ""))


def test_engines_are_kept_by_gpu_and_driver(tmp_path: Path) -> None:
    (tmp_path / "gpus" / "0000:01:00.0").mkdir(parents=True)
    information = "Model: \t\t NVIDIA H100 80GB\nIRQ:   \t 5\n"
    (tmp_path / "gpus" / "0000:01:00.0" / "information").write_text(information)
    (tmp_path / "version").write_text(
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.1.2  Mon"
    )
    assert gpu_name(tmp_path) == "NVIDIA_H100_80GB-580.1.2"
    assert gpu_name(tmp_path / "none") == "unknown"
