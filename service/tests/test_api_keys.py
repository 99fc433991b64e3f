"""API keys: off by default, hashed, replaced while serving, and needed for all but probes."""

import asyncio
import hashlib
import json
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from inference_server.errors import RequestError
from inference_server.security import guard as guard_module
from inference_server.security.client import DEFAULT_SCOPES, UNLIMITED, Client, Rate
from inference_server.security.guard import Guard
from inference_server.security.keys import KeyFileError, read_keys
from inference_server.settings import Settings

from .conftest import Server, Start, wait_until
from .test_life_cycle import run

ROW = {"instances": [[1, 1, 1]]}
KEY = "correct horse"
HASH = hashlib.sha256(KEY.encode()).hexdigest()
NEW_KEY = "battery staple"
NEW_HASH = hashlib.sha256(NEW_KEY.encode()).hexdigest()


@pytest.fixture(scope="module")
def guarded(
    repository: Path, tmp_path_factory: pytest.TempPathFactory, start_anywhere: Start
) -> Server:
    file = tmp_path_factory.mktemp("keys") / "hashes"
    file.write_text(f"team-a:{'0' * 64}\n\n# the second team\nteam-b:{HASH}\n")
    return start_anywhere(repository, f"--api-key-hashes-file={file}", "--log-sample-rate=1")


@pytest.mark.parametrize(
    "headers", [{"X-API-Key": KEY}, {"Authorization": f"Bearer {KEY}"}], ids=["header", "bearer"]
)
@pytest.mark.parametrize("path", ["/predict", "/predict?version=2"])
def test_a_known_key_opens(guarded: Server, headers: dict[str, str], path: str) -> None:
    assert guarded.post(path, ROW, headers=headers).status_code == 200
    wait_until(lambda: any(event.get("client") == "team-b" for event in guarded.events()))
    assert KEY not in guarded.log_file.read_text()
    assert HASH not in guarded.log_file.read_text()


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-API-Key": "wrong"},
        {"X-API-Key": HASH},
        {"X-API-Key": ""},
        {"X-API-Key": "wrong", "Authorization": f"Bearer {KEY}"},
        {"Authorization": f"Basic {KEY}"},
        {"Authorization": "Bearer"},
        {"Authorization": KEY},
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_anything_else_is_refused(guarded: Server, headers: dict[str, str], chunked: bool) -> None:
    if chunked:  # which takes the way through ASGI
        parts = (part for part in [json.dumps(ROW).encode()])
        answer = guarded.client.post("/predict", content=parts, headers=headers)
    else:
        answer = guarded.post("/predict", ROW, headers=headers)
    assert answer.status_code == 401
    challenge = 'Bearer realm="inference-server"'
    if any(headers.get(name) for name in ("X-API-Key",)):
        challenge += ', error="invalid_token", error_description="no valid API key"'
    assert answer.headers["www-authenticate"] == challenge
    assert answer.json()["error"] == "no valid API key"
    assert answer.headers["x-request-id"]


def test_the_protocol_s_endpoints_refuse_in_its_form(guarded: Server) -> None:
    answer = guarded.get("/v2/models/flowers")
    assert answer.status_code == 401
    assert answer.json() == {"error": "no valid API key"}


@pytest.mark.parametrize("path", ["/v2/health/ready", "/health", "/metrics"])
def test_probes_and_scrapes_need_no_key(guarded: Server, path: str) -> None:
    assert guarded.get(path).status_code == 200


def test_a_stranger_is_refused_before_the_body_has_come(guarded: Server) -> None:
    """And the connection closed, so that it need not be read."""
    url = guarded.client.base_url
    with socket.create_connection((url.host, url.port), timeout=10) as connection:
        connection.sendall(
            b'POST /predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n{"in'
        )
        answer = b"".join(iter(lambda: connection.recv(65536), b""))
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert b"\r\nconnection: close\r\n" in answer.lower()


# What the file may say


def owner(path: Path, key: str = KEY) -> Client | None:
    return read_keys(path).owner(key.encode())


def test_a_mounted_secret_has_one_file_per_client(tmp_path: Path) -> None:
    (tmp_path / "..data").mkdir()
    (tmp_path / "team-a").write_text(f"{HASH.upper()}\n{NEW_HASH}:scopes=metrics\n")
    assert owner(tmp_path) == Client("team-a", DEFAULT_SCOPES, None)
    assert owner(tmp_path, NEW_KEY) == Client("team-a", frozenset({"metrics"}), None)


def test_a_line_may_narrow_and_widen_what_its_key_opens(tmp_path: Path) -> None:
    file = tmp_path / "hashes"
    file.write_text(
        f"ops@example.org:{HASH}:scopes=infer,admin:models=flowers, digits:rate=600:burst=20\n"
        f"free:{NEW_HASH}:rate=off"
    )
    scopes, models = frozenset({"infer", "admin"}), frozenset({"flowers", "digits"})
    assert owner(file) == Client("ops@example.org", scopes, models, Rate(600, 20))
    assert owner(file, NEW_KEY) == Client("free", DEFAULT_SCOPES, None, UNLIMITED)
    assert owner(file, "another") is None


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("team-a:abc", ":1: expected a client and the SHA-256"),
        (f"a:{HASH}\nnonsense", ":2: expected a client and the SHA-256"),
        (f"two words:{HASH}", ":1: expected a client"),
        (f"jwt:somebody:{HASH}", ":1: expected a client"),
        (f":{HASH}", ":1: expected a client"),
        (f"a:{HASH}:scopes=root", ":1: the scopes are admin, infer, metadata, metrics"),
        (f"a:{HASH}:scopes=", ":1: after the hash only"),
        (f"a:{HASH}:models=a,,b", ":1: an empty name"),
        (f"a:{HASH}:modles=a", ":1: after the hash only"),
        (f"a:{HASH}:models=a:models=b", ":1: after the hash only"),
        (f"a:{HASH}:rate=-1", ":1: rate= is requests a minute"),
        (f"a:{HASH}:burst=5", ":1: rate= is requests a minute"),
        (f"a:{HASH}:rate=off:burst=5", ":1: rate= is requests a minute"),
        (f"a:{HASH}\nb:{HASH}", ":2: this key stands there twice"),
        (f"a:{HASH}:rate=5\na:{NEW_HASH}", ":2: the keys of one client have one rate"),
        ("", "no API key"),
        ("# none yet\n", "no API key"),
    ],
)
def test_a_wrong_file_is_named_by_line_without_its_content(
    tmp_path: Path, content: str, reason: str
) -> None:
    file = tmp_path / "hashes"
    file.write_text(content)
    with pytest.raises(KeyFileError, match=reason) as caught:
        read_keys(file)
    assert HASH not in str(caught.value)


def test_a_wrong_file_stops_the_start(tmp_path: Path, repository: Path) -> None:
    file = tmp_path / "hashes"
    file.write_bytes(b"\xff\xfe")
    ended = run(f"--model-repository={repository}", f"--api-key-hashes-file={file}")
    assert ended.returncode == 2
    assert "cannot be read" in ended.stderr
    assert "Traceback" not in ended.stderr


# Replacing keys while serving


def opens(guard: Guard, key: str) -> bool:
    try:
        guard.admit({b"x-api-key": key.encode()}, "infer", None)
    except RequestError:
        return False
    return True


def watching(
    path: Path, scenario: Callable[[Guard], Awaitable[None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(guard_module, "_POLL_SECONDS", 0.01)

    async def all_of_it() -> None:
        guard = Guard(Settings(model_repository=path.parent, api_key_hashes_file=path))
        await guard.start()
        try:
            async with asyncio.timeout(10):
                await scenario(guard)
        finally:
            await guard.stop()

    asyncio.run(all_of_it())


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110
        await asyncio.sleep(0.005)


def test_a_client_s_old_key_opens_until_it_is_taken_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hashes"
    file.write_text(f"team:{HASH}\n")

    async def rotate(guard: Guard) -> None:
        assert (opens(guard, KEY), opens(guard, NEW_KEY)) == (True, False)
        file.write_text(f"team:{HASH}\nteam:{NEW_HASH}\n")
        await until(lambda: opens(guard, NEW_KEY))
        assert opens(guard, KEY)
        file.write_text(f"team:{NEW_HASH}\n")
        await until(lambda: not opens(guard, KEY))
        assert opens(guard, NEW_KEY)

    watching(file, rotate, monkeypatch)


def test_a_secret_is_swapped_as_kubernetes_does_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mount = tmp_path / "mount"
    for name, digest in (("..first", HASH), ("..second", NEW_HASH)):
        (mount / name).mkdir(parents=True)
        (mount / name / "team").write_text(digest)
        os.utime(mount / name / "team", (1, 1))  # time and size tell nothing
    (mount / "..data").symlink_to("..first")
    (mount / "team").symlink_to("..data/team")

    async def swap(guard: Guard) -> None:
        assert opens(guard, KEY)
        (mount / "..data_tmp").symlink_to("..second")
        (mount / "..data_tmp").rename(mount / "..data")
        await until(lambda: opens(guard, NEW_KEY))
        assert not opens(guard, KEY)

    watching(mount, swap, monkeypatch)


@pytest.mark.parametrize("broken", ["team:abc\n", "", None], ids=["wrong", "empty", "gone"])
def test_a_broken_file_leaves_the_keys_as_they_were(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    broken: str | None,
) -> None:
    file = tmp_path / "hashes"
    file.write_text(f"team:{HASH}\n")

    async def breaks(guard: Guard) -> None:
        if broken is None:
            file.unlink()
        else:
            file.write_text(broken)
        await until(lambda: "API keys not replaced" in caplog.messages)
        assert opens(guard, KEY)
        file.write_text(f"team:{NEW_HASH}\n")
        await until(lambda: opens(guard, NEW_KEY))

    watching(file, breaks, monkeypatch)
    (said,) = [each for each in caplog.records if each.message == "API keys not replaced"]
    assert str(file) in said.reason  # type: ignore[attr-defined]


def test_reload_reads_a_file_whose_change_stat_does_not_show(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "hashes"
    file.write_text(f"team:{HASH}\n")
    os.utime(file, (1, 1))

    async def reload(guard: Guard) -> None:
        file.write_text(f"team:{NEW_HASH}\n")
        os.utime(file, (1, 1))
        await asyncio.sleep(0.05)
        assert opens(guard, KEY)
        guard.reload()
        await until(lambda: opens(guard, NEW_KEY))

    watching(file, reload, monkeypatch)


def test_a_running_server_takes_new_keys_without_refusing_anyone_in_between(
    repository: Path, tmp_path: Path, start: Start
) -> None:
    file = tmp_path / "hashes"
    file.write_text(f"team:{HASH}\n")
    server = start(repository, f"--api-key-hashes-file={file}")

    def status(key: str) -> int:
        return server.post("/predict", ROW, headers={"X-API-Key": key}).status_code

    file.write_text(f"team:{HASH}\nteam:{NEW_HASH}\n")
    server.process.send_signal(signal.SIGHUP)
    seen = set()

    def taken_over() -> bool:
        seen.add(status(KEY))
        return status(NEW_KEY) == 200

    wait_until(taken_over)
    assert seen == {200}
    file.write_text(f"team:{NEW_HASH}\n")  # noticed without a signal
    wait_until(lambda: status(KEY) == 401)
    assert status(NEW_KEY) == 200
