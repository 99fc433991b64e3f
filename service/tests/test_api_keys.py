"""API keys: off by default, hashed, and required for everything but probes and scrapes."""

import hashlib
from pathlib import Path

import pytest
from inference_server.security.keys import KeyFileError, read_keys

from .conftest import Server, Start
from .test_life_cycle import run

ROW = {"instances": [[1, 1, 1]]}
KEY = "correct horse"
HASH = hashlib.sha256(KEY.encode()).hexdigest()


@pytest.fixture(scope="module")
def guarded(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start
) -> Server:
    file = tmp_path_factory.mktemp("keys") / "hashes"
    file.write_text(f"team-a:{'0' * 64}\n\nteam-b:{HASH}\n")
    return start_anywhere(repository, f"--api-key-hashes-file={file}", "--log-sample-rate=1")


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}], ids=["header", "bearer"]
)
def test_a_known_key_opens(guarded: Server, headers: dict[str, str]) -> None:
    assert guarded.post("/predict", ROW, headers=headers).status_code == 200
    assert any(event.get("client") == "team-b" for event in guarded.events())
    assert KEY not in guarded.log_file.read_text()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": HASH},
        {"X-API-Key": ""},
        {"Authorization": f"Basic {KEY}"},
    ],
)
def test_anything_else_is_refused(guarded: Server, headers: dict[str, str]) -> None:
    answer = guarded.post("/predict", ROW, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.json()["error"] == "no valid API key"
    assert answer.headers["x-request-id"]


def test_the_protocol_s_endpoints_refuse_in_its_form(guarded: Server) -> None:
    answer = guarded.get("/v2/models/flowers")
    assert answer.status_code == 401
    assert answer.json() == {"error": "no valid API key"}


@pytest.mark.parametrize("path", ["/v2/health/ready", "/health", "/metrics"])
def test_probes_and_scrapes_need_no_key(guarded: Server, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_a_mounted_secret_has_one_file_per_client(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "team-a").write_text(HASH.upper() + "\n")
    assert read_keys(tmp_path).client(KEY.encode()) == "team-a"


@pytest.mark.parametrize(
    ("content", "place"), [("team-a:abc", ":1"), (f"a:{HASH}\nnonsense", ":2"), ("", "no API key")]
)
def test_a_wrong_file_is_named_by_line_without_its_content(
    tmp_path: Path, content: str, place: str
) -> None:
    file = tmp_path / "hashes"
    file.write_text(content)
    with pytest.raises(KeyFileError, match=place) as caught:
        read_keys(file)
    assert HASH not in str(caught.value)


def test_a_wrong_file_stops_the_start(tmp_path: Path, repository: Path) -> None:
    file = tmp_path / "hashes"
    file.write_bytes(b"\xff\xfe")
    ended = run(f"--model-repository={repository}", f"--api-key-hashes-file={file}")
    assert ended.returncode == 2
    assert "cannot be read" in ended.stderr
    assert "Traceback" not in ended.stderr
