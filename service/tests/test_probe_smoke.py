"""`probe smoke` against real servers, and what every probe does with a wrong command line."""

from collections.abc import Callable
from pathlib import Path

import pytest
from inference_server.probe.smoke import sample_inputs

from .conftest import Server, Start, free_port
from .golden_models import ask
from .onnx_models import INT64, STRING, echo, logarithm, lookup, pair
from .test_life_cycle import run

LIMITS = (
    *("--rate=10", "--seconds=1", "--connections=1", "--z=2.3263"),
    *("--error-limit=0.001", "--slow-500ms-limit=0.05", "--slow-1s-limit=0.01"),
    *("--minimum-requests=1", "--minimum-share=0.99"),
)


def probe(server: Server, name: str = "flowers", version: int = 10) -> tuple[int, list[str]]:
    status, lines, errors = ask(
        *("smoke", "--patience=0", f"--url={server.client.base_url}"),
        *(f"--name={name}", f"--version={version}"),
    )
    assert errors == ""
    return status, lines[1:]


def test_a_server_of_the_expected_version_passes(server: Server) -> None:
    assert probe(server) == (0, ["pass: 5 of 5 answers are right"])


MODELS: dict[str, Callable[[Path], Path]] = {
    "two-inputs": pair,
    "float": lookup,
    "infinite": logarithm,
    "text": lambda path: echo(path, STRING),
    "integer": lambda path: echo(path, INT64),
}


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start) -> Server:
    folder = tmp_path_factory.mktemp("many")
    for name, write in MODELS.items():
        write(folder / name / "3" / "model.onnx")
    return start_anywhere(folder)


@pytest.mark.parametrize("name", MODELS)
def test_every_signature_that_the_server_serves_is_asked(many: Server, name: str) -> None:
    assert probe(many, name, 3) == (0, ["pass: 5 of 5 answers are right"])


@pytest.mark.parametrize("metadata", [None, {}, {"inputs": [{"name": "x"}]}, {"inputs": [1]}])
def test_metadata_without_a_signature_gives_no_inputs(metadata: object) -> None:
    assert sample_inputs(metadata) == []


def test_another_version_that_answers_fails(server: Server) -> None:
    status, lines = probe(server, version=2)
    assert status == 1
    assert lines == [
        "infer: answered by version '10', expected '2'",
        "predict: answered by version '10', expected '2'",
        "fail: 3 of 5 answers are right",
    ]


def test_a_server_that_is_not_ready_fails(start: Start, repository: Path, tmp_path: Path) -> None:
    (tmp_path / "flowers").symlink_to(repository / "flowers")
    (tmp_path / "torn" / "1").mkdir(parents=True)
    (tmp_path / "torn" / "1" / "model.onnx").write_bytes(b"half")
    server = start(tmp_path, until="/v2/health/live")
    server.wait_for_reason("torn/1: no usable ONNX model")
    status, lines = probe(server)
    assert status == 1
    assert lines == ["ready: HTTP 503", "fail: 4 of 5 answers are right"]


def test_an_unknown_model_fails(server: Server) -> None:
    status, lines = probe(server, "trees")
    assert status == 1
    assert lines[0].endswith("does not serve trees version 10: HTTP 404: unknown model 'trees'")


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "required: PROBE"),
        (["sound"], "invalid choice: 'sound'"),
        (["smoke"], "required: --url, --name, --version"),
        (["smoke", "--url=ftp://a", "--name=a", "--version=1"], "'ftp://a' is no http(s)://"),
        (["smoke", "--url=http://a", "--name=a/b", "--version=1"], "'a/b' is no model name"),
        (["smoke", "--url=http://a", "--name=a", "--version=v1"], "'v1' is no positive integer"),
        (["golden-set", "--tolerance=nan"], "'nan' is no number of 0 or more"),
        (["golden-set", "--tolerance=-1"], "'-1' is no number of 0 or more"),
        (["load", *LIMITS, "--connections=0"], "'0' is no whole number of 1 to 1000"),
        (["load", *LIMITS, "--error-limit=2"], "'2' is no share of 0 to 1"),
        (["load", *LIMITS[1:], "--rate=x"], "'x' is no number of 0 or more"),
    ],
)
def test_a_wrong_command_line_is_status_2_with_the_reason(
    arguments: list[str], reason: str
) -> None:
    status, _, errors = ask(*arguments)
    assert status == 2
    assert reason in errors


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--rate=0"], "--rate x --seconds is 0, not 1 to 1000000"),
        (["--rate=1e300", "--seconds=1e300"], "--rate x --seconds is inf, not 1 to 1000000"),
        (["--api-key-file=/nowhere"], "/nowhere: no API key (FileNotFoundError)"),
    ],
)
def test_what_only_turns_out_later_is_status_2_too(
    options: list[str], reason: str, tmp_path: Path
) -> None:
    status, lines, _ = ask(
        *("load", *LIMITS, "--patience=0", f"--url=http://127.0.0.1:{free_port()}"),
        *("--name=a", "--version=1", f"--repository={tmp_path}", *options),
    )
    assert (status, lines[1]) == (2, f"misuse: {reason}")


def test_an_empty_variable_counts_as_none() -> None:
    ended = run("probe", "smoke", PROBE_URL="", MODEL_NAME="", MODEL_VERSION="")
    assert ended.returncode == 2
    assert "required: --url, --name, --version" in ended.stderr
