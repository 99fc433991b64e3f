"""The checks for a GPU, tried where there is none: when they skip, and that they can fail."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import onnxruntime as ort
import pytest

from ..conftest import Server, Start
from .conftest import StartGpu
from .hardware import cannot_run, no_gpu
from .models import convolutional
from .throughput import SIDE, infer, measure


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    repository = tmp_path_factory.mktemp("small")
    convolutional(repository / "net" / "1" / "model.onnx")
    (repository / "net" / "config.yaml").write_text("max_batch_size: 2\n")
    return repository


@pytest.fixture(scope="module")
def cpu_server(small: Path, start_anywhere: Start) -> Server:
    return start_anywhere(small)


def failing() -> str:
    raise subprocess.CalledProcessError(9, "nvidia-smi", "NVIDIA-SMI has failed\nbecause ...")


def absent() -> str:
    raise FileNotFoundError("nvidia-smi")


def test_no_driver_no_answer_and_no_gpu_are_told_apart(tmp_path: Path) -> None:
    assert no_gpu(absent) == "no NVIDIA driver: nvidia-smi is not installed"
    assert no_gpu(failing) == "nvidia-smi failed: NVIDIA-SMI has failed because ..."
    assert no_gpu(lambda: "") == "nvidia-smi lists no GPU"
    assert no_gpu(lambda: "GPU 0: NVIDIA L4 (UUID: GPU-1)\n") is None
    listed = lambda: "GPU 0: NVIDIA L4"  # noqa: E731
    assert "make gpu-test" in (cannot_run(tmp_path / "python", listed) or "")
    assert cannot_run(Path(sys.executable), listed) is None


def test_an_inference_in_binary_gives_the_scores_of_onnx_runtime(
    cpu_server: Server, small: Path
) -> None:
    sent = np.random.default_rng(1).normal(size=(2, 3, SIDE, SIDE)).astype(np.float32)
    session = ort.InferenceSession(
        small / "net" / "1" / "model.onnx", providers=["CPUExecutionProvider"]
    )
    expected = session.run(["scores"], {"images": sent})[0]
    scores = infer(cpu_server.client, "net", sent)
    assert scores.shape == (2, 10)
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)


def test_a_measurement_counts_answers_and_failures(cpu_server: Server) -> None:
    url = str(cpu_server.client.base_url)
    good = measure(url, "net", clients=2, seconds=0.3)
    assert good.answers >= 2
    assert good.failures == 0
    assert good.per_second == good.answers / good.seconds
    bad = measure(url, "nothing", clients=2, seconds=0.1)
    assert bad.answers == 0
    assert bad.failures >= 2


def test_a_refused_inference_is_an_error_of_the_check(cpu_server: Server) -> None:
    with pytest.raises(AssertionError, match="nothing"):
        infer(cpu_server.client, "nothing", np.ones((1, 3, SIDE, SIDE)))


def test_without_a_gpu_the_server_of_the_checks_is_never_ready(
    small: Path, start_gpu: StartGpu
) -> None:
    """The refusal that `make gpu-test` asks for, by a build of ONNX Runtime for the CPU."""
    server = start_gpu(small, until="/health/live", python=Path(sys.executable))
    server.wait_for_reason("a GPU is required, but ONNX Runtime took the CPU")
    assert server.status("/v2/health/ready") == 503
