"""What the server promises on a GPU, asked of one: `make gpu-test`."""

from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from ..conftest import Server
from .conftest import StartGpu
from .hardware import cannot_run
from .throughput import SIDE, infer, measure

REASON = cannot_run()
pytestmark = pytest.mark.skipif(REASON is not None, reason=REASON or "")

MODELS = ("batched", "single", "bound", "buckets")
SPEED_UP = 1.5  # what batching has to be worth at the least; several times that is usual
TOLERANCE = 1e-2  # TF32


def some_images(rows: int) -> np.ndarray:
    return np.random.default_rng(rows).normal(size=(rows, 3, SIDE, SIDE)).astype(np.float32)


@pytest.fixture(scope="module")
def on_cpu(images: Path) -> ort.InferenceSession:
    file = images / "batched" / "1" / "model.onnx"
    return ort.InferenceSession(file, providers=["CPUExecutionProvider"])


def test_every_model_runs_on_the_gpu(gpu_server: Server) -> None:
    models = gpu_server.get("/health/ready").json()["models"]
    assert {model["name"]: model["provider"] for model in models} == dict.fromkeys(
        MODELS, "CUDAExecutionProvider"
    )
    labels = 'model_id="batched",model_version="1",provider="CUDAExecutionProvider"'
    assert gpu_server.metric(f'model_execution_provider{{gpu_required="true",{labels}}}') == 1
    config = gpu_server.get("/v2/models/batched/config").json()
    assert config["instance_group"][0]["kind"] == "KIND_GPU"


@pytest.mark.parametrize("model", MODELS)
def test_answers_are_those_of_the_cpu(
    gpu_server: Server, on_cpu: ort.InferenceSession, model: str
) -> None:
    for rows in (1, 2, 3, 5, 8, 13):
        sent = some_images(rows)
        expected = on_cpu.run(["scores"], {"images": sent})[0]
        scores = infer(gpu_server.client, model, sent)
        np.testing.assert_allclose(scores, expected, rtol=TOLERANCE, atol=TOLERANCE)


def test_bound_memory_serves_one_request_after_another(
    gpu_server: Server, on_cpu: ort.InferenceSession
) -> None:
    for seed in range(20):
        sent = some_images(3) + seed
        expected = on_cpu.run(["scores"], {"images": sent})[0]
        scores = infer(gpu_server.client, "bound", sent)
        np.testing.assert_allclose(scores, expected, rtol=TOLERANCE, atol=10 * TOLERANCE)


def test_the_configured_buckets_are_the_sizes_that_run(gpu_server: Server) -> None:
    config = gpu_server.get("/v2/models/buckets/config").json()
    assert config["dynamic_batching"]["preferred_batch_size"] == [4, 16]


def test_batching_is_faster_than_one_by_one(
    gpu_server: Server, capsys: pytest.CaptureFixture[str]
) -> None:
    url = str(gpu_server.client.base_url)
    measured = {}
    for model in ("single", "batched"):
        measure(url, model, clients=32, seconds=1)
        measured[model] = measure(url, model, clients=32, seconds=5)
    speed_up = measured["batched"].per_second / measured["single"].per_second
    with capsys.disabled():
        for model, result in measured.items():
            print(f"\n{model}: {result.per_second:.0f} images/s by 32 clients", end="")
        print(f"\nbatching: {speed_up:.1f} times as many")
    assert all(result.failures == 0 for result in measured.values())
    assert speed_up > SPEED_UP


def test_a_required_gpu_that_cannot_be_seen_is_never_replaced_by_the_cpu(
    images: Path, start_gpu: StartGpu
) -> None:
    server = start_gpu(images, until="/health/live", CUDA_VISIBLE_DEVICES="-1")
    server.wait_for_reason("a GPU is required, but ONNX Runtime took the CPU")
    assert server.status("/v2/health/ready") == 503
    sent = some_images(1)
    with pytest.raises(AssertionError):
        infer(server.client, "batched", sent)


def test_without_that_demand_the_cpu_serves_and_says_so(images: Path, start_gpu: StartGpu) -> None:
    server = start_gpu(images, CUDA_VISIBLE_DEVICES="-1", REQUIRE_GPU="false")
    models = server.get("/health/ready").json()["models"]
    assert {model["provider"] for model in models} == {"CPUExecutionProvider"}
