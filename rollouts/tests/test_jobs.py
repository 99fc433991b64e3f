"""The jobs of the analyses, run as they are rendered: what they find out about real servers."""

import hashlib
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
import pytest
from canary_gate import Analysis, AnalysisResult, load_templates, run_analysis
from model_pipeline import dataset
from release_play.faulty_model import break_model

from rollouts.tests.job_overlay import JOBS, of_kind
from rollouts.tests.kubelet import COMMAND, PATIENCE, Ended, Kubelet
from rollouts.tests.rendering import Document

KEY = "a key"
#: A short load, whose times say nothing on a machine that others use.
QUICK = {
    "load": {
        "load-rate": "20",
        "load-seconds": "2",
        "minimum-requests": "40",
        "load-slow-500ms-limit": "1",
        "load-slow-1s-limit": "1",
        "load-minimum-share": "0",
    },
    "shadow-agreement": {"shadow-inputs": "80"},
}


@contextmanager
def serving(folder: Path, **models: bytes) -> Iterator[str]:
    """The address of a server that asks for the key; models by `v<version>`."""
    for version, content in models.items():
        path = folder / "models" / "breast-cancer" / version.removeprefix("v") / "model.onnx"
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    keys = folder / "keys"
    keys.mkdir()
    (keys / "analysis").write_text(hashlib.sha256(KEY.encode()).hexdigest())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [
            *(COMMAND, f"--port={port}", "--drain-seconds=0", f"--api-key-hashes-file={keys}"),
            f"--model-repository={folder / 'models'}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        end = time.monotonic() + PATIENCE
        while not ready(address):
            assert time.monotonic() < end, "the server does not become ready"
            time.sleep(0.05)
        yield address
    finally:
        process.terminate()
        process.wait(PATIENCE)


def ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/v2/health/ready").status_code == 200
    except httpx.TransportError:
        return False


def judge(
    documents: list[Document], name: str, folder: Path, *, canary: str, stable: str = ""
) -> tuple[AnalysisResult, Ended]:
    """Run one template's job against these servers, as the controller would."""
    kubelet = Kubelet(
        folder,
        {name: each["data"] for name, each in of_kind(documents, "ConfigMap").items()},
        {"inference-api-keys": {"analysis": KEY}},
        {"http://inference-canary": canary, "http://inference-stable": stable},
    )
    template = of_kind(documents, "AnalysisTemplate")[name]
    analysis = Analysis(load_templates([template]).values(), QUICK.get(name, {}))
    result = run_analysis(analysis, provider=None, jobs=kubelet)
    return result, kubelet.ended[name]


@pytest.fixture(scope="module")
def good(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("good"), v12=model.read_bytes()) as address:
        yield address


@pytest.fixture(scope="module")
def other(model: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server that answers by a newer version than the release's."""
    content = model.read_bytes()
    with serving(tmp_path_factory.mktemp("other"), v12=content, v13=content) as address:
        yield address


@pytest.mark.parametrize("name", JOBS)
def test_a_good_release_passes(
    documents: list[Document], name: str, good: str, tmp_path: Path
) -> None:
    result, job = judge(documents, name, tmp_path, canary=good, stable=good)
    assert (result.verdict, result.action) == ("pass", "advance"), job.log
    assert job.log.splitlines()[-1].startswith("pass: ")


@pytest.mark.parametrize("name", JOBS)
def test_another_version_behind_the_service_aborts(
    documents: list[Document], name: str, good: str, other: str, tmp_path: Path
) -> None:
    result, job = judge(documents, name, tmp_path, canary=other, stable=good)
    assert (result.verdict, result.action) == ("fail", "abort")
    assert "answered by version '13', expected '12'" in job.log


def test_a_model_that_fails_on_some_rows_meets_no_user(
    documents: list[Document], model: Path, rows: dataset.Dataset, tmp_path: Path
) -> None:
    features = rows.test.features.astype(np.float32)
    broken = break_model(model.read_bytes(), share=0.05, rows=features)
    with serving(tmp_path, v12=broken) as canary:
        result, job = judge(documents, "golden-set", tmp_path / "job", canary=canary)
    assert result.action == "abort"
    lines = job.log.splitlines()
    assert "HTTP 500: the model failed on this input" in lines[-2]
    assert lines[-1].startswith("fail: 2 of 64 cases differ, largest deviation ")
