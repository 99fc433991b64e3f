"""The jobs of the analyses, run as they are rendered: what they find out about real servers."""

import hashlib
import re
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import httpx
import numpy as np
import pytest
from canary_gate import Analysis, AnalysisResult, load_templates, run_analysis
from model_pipeline import dataset
from release_play.faulty_model import break_model
from release_play.route import Route
from release_play.traffic import Split

from rollouts.tests.job_overlay import JOBS, of_kind
from rollouts.tests.kubelet import COMMAND, PATIENCE, Ended, Kubelet
from rollouts.tests.rendering import Document, Rendered, analyses_of, rollout_of
from service.tests.certificates import certify

KEY = "a key"
#: A short load, whose times say nothing on a machine that others use.
QUICK = {
    "load": {
        "load-rate": "20",
        "load-seconds": "2",
        "load-minimum-requests": "40",
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
    documents: list[Document],
    name: str,
    folder: Path,
    *,
    canary: str = "",
    stable: str = "",
    given: Mapping[str, str] = MappingProxyType({}),
    certificate: Path | None = None,
) -> tuple[AnalysisResult, Ended]:
    """Run one template's job against these servers, as the controller would."""
    secrets = {"inference-api-keys": {"analysis": KEY}}
    if certificate:
        secrets["inference-tls"] = {"tls.crt": certificate.read_text()}
    kubelet = Kubelet(
        folder,
        {name: each["data"] for name, each in of_kind(documents, "ConfigMap").items()},
        secrets,
        {"http://inference-canary": canary, "http://inference-stable": stable},
    )
    template = of_kind(documents, "AnalysisTemplate")[name]
    arguments = {**QUICK.get(name, {}), **given}
    analysis = Analysis(load_templates([template]).values(), arguments)
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


@contextmanager
def gateway(split: Split, certificate: Path) -> Iterator[str]:
    """The route to both sides, behind TLS with this certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, certificate.with_suffix(".key"))
    route = Route(lambda: split)
    route.server.socket = context.wrap_socket(
        route.server.socket, server_side=True, do_handshake_on_connect=False
    )
    yield route.address.replace("http://", "https://")
    route.close()


@pytest.fixture(scope="module")
def at_half(rendered: Rendered) -> dict[str, str]:
    """The arguments of the load that staging's ladder gives at 50 %."""
    *_, last, _ = analyses_of(rollout_of(rendered("load-during-analysis")))
    assert last.where == "50 %"
    arguments = {name: value for name, value in last.arguments.items() if name.startswith("load-")}
    return arguments | QUICK["load"]


def test_a_load_on_the_route_takes_the_answers_of_both_versions(
    documents: list[Document], good: str, other: str, at_half: dict[str, str], tmp_path: Path
) -> None:
    certificate = certify(tmp_path, at_half["load-host"], issuer="an authority of staging")
    with gateway(Split(other, good, 50), certificate) as url:
        given = at_half | {"load-url": url}
        result, job = judge(documents, "load", tmp_path, given=given, certificate=certificate)
    assert result.action == "advance", job.log
    counted = dict(re.findall(r"(\d+) x version (\d+)", job.log))
    assert set(counted.values()) == {"12", "13"}
    assert sum(map(int, counted)) == 40


def test_a_load_trusts_the_certificate_of_the_gateway_only(
    documents: list[Document], good: str, at_half: dict[str, str], tmp_path: Path
) -> None:
    host = at_half["load-host"]
    (tmp_path / "known").mkdir()
    with gateway(Split(good), certify(tmp_path, host)) as url:
        for name, known in (("other", certify(tmp_path / "known", host)), ("none", None)):
            given = at_half | {"load-url": url}
            result, job = judge(documents, "load", tmp_path / name, given=given, certificate=known)
            assert result.action == "abort"
            reason = "certificate verify failed" if known else "no certificates"
            assert reason in job.log.splitlines()[-1]


def test_a_side_of_the_route_that_does_not_answer_fails_the_load(
    documents: list[Document], good: str, at_half: dict[str, str], tmp_path: Path
) -> None:
    certificate = certify(tmp_path, at_half["load-host"])
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        gone = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        with gateway(Split(good, gone, 50), certificate) as url:
            given = at_half | {"load-url": url}
            result, job = judge(documents, "load", tmp_path, given=given, certificate=certificate)
    assert result.action == "abort"
    assert " errors, up to " in job.log.splitlines()[-1]
