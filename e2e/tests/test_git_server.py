"""The Git server takes clones and pushes over HTTP, and shows nothing but its repositories."""

from __future__ import annotations

import gzip
import http.client
import io
import os
import subprocess
import threading
from collections.abc import Iterator
from email.message import Message
from pathlib import Path

import pytest
from local_cluster.git_server import GitServer, allowed, backend_environment, request_body

NAME = "inference-gitops.git"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@localhost"]
    result = subprocess.run(
        ["git", *identity, "-C", str(folder), *arguments],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"GIT_TERMINAL_PROMPT": "0"},
    )
    return result.stdout.strip()


@pytest.fixture
def server(tmp_path: Path) -> Iterator[GitServer]:
    """It serves one repository, and a secret lies beside it."""
    folder = tmp_path / "served"
    folder.mkdir()
    git(folder, "init", "--quiet", "--bare", "--initial-branch=main", NAME)
    (tmp_path / "secret").write_text("secret")
    (folder / "secret").write_text("secret")
    with GitServer(folder, ("127.0.0.1", 0)) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield running
        running.shutdown()


def status(server: GitServer, method: str, path: str, body: bytes = b"") -> int:
    """The path goes out as it is: no client tidies it."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request(method, path, body=body)
        return connection.getresponse().status
    finally:
        connection.close()


def clone(server: GitServer, folder: Path) -> Path:
    url = f"http://127.0.0.1:{server.server_port}/{NAME}"
    git(folder.parent, "clone", "--quiet", url, folder.name)
    git(folder, "symbolic-ref", "HEAD", "refs/heads/main")
    return folder


def headers(**values: str) -> Message[str, str]:
    message: Message[str, str] = Message()
    for name, value in values.items():
        message[name.replace("_", "-")] = value
    return message


def test_what_one_person_pushes_another_clones(server: GitServer, tmp_path: Path) -> None:
    one = clone(server, tmp_path / "one")
    # Above 1 MiB git sends a push in chunks.
    (one / "large").write_bytes(os.urandom(2 * 1024 * 1024))
    git(one, "add", ".")
    git(one, "commit", "--quiet", "-m", "Release")
    git(one, "push", "--quiet", "origin", "main")
    other = clone(server, tmp_path / "other")
    assert (other / "large").read_bytes() == (one / "large").read_bytes()
    git(one, "commit", "--quiet", "--allow-empty", "-m", "Once more")
    git(one, "push", "--quiet", "origin", "main")
    git(other, "fetch", "--quiet")
    assert git(other, "rev-parse", "origin/main") == git(one, "rev-parse", "HEAD")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/"),
        ("GET", "/secret"),
        ("GET", "/../secret"),
        ("GET", "/%2e%2e/secret"),
        ("GET", f"/{NAME}/config"),
        ("GET", f"/{NAME}/HEAD"),
        ("GET", f"/{NAME}/objects/info/packs"),
        ("GET", f"/{NAME}/../secret"),
        ("GET", f"/{NAME}/info/../../../secret"),
        ("GET", f"/../{NAME}/info/refs"),
        ("GET", f"/{NAME}/info/refs/../../config"),
        ("POST", f"/{NAME}/info/refs"),
        ("POST", f"/{NAME}/git-upload-pack/../config"),
        ("POST", f"/../{NAME}/git-receive-pack"),
    ],
)
def test_every_path_but_an_endpoint_of_a_repository_is_refused(
    server: GitServer, method: str, path: str
) -> None:
    assert status(server, method, path) == http.client.NOT_FOUND


def test_a_repository_that_is_not_there_is_not_found(server: GitServer) -> None:
    assert status(server, "GET", "/other.git/info/refs?service=git-upload-pack") == 404


def test_methods_that_git_does_not_use_are_refused(server: GitServer) -> None:
    assert status(server, "DELETE", f"/{NAME}/info/refs") == http.client.NOT_IMPLEMENTED
    assert not allowed("DELETE", f"/{NAME}/info/refs")


@pytest.mark.parametrize("length", ["x", "-1"])
def test_a_length_that_is_none_is_a_bad_request(server: GitServer, length: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    connection.putrequest("POST", f"/{NAME}/git-upload-pack")
    connection.putheader("Content-Length", length)
    connection.endheaders()
    assert connection.getresponse().status == http.client.BAD_REQUEST


def test_a_body_is_read_by_length_in_chunks_and_compressed() -> None:
    packed = gzip.compress(b"want")
    assert request_body(headers(Content_Length="4"), io.BytesIO(b"wantmore")) == b"want"
    assert request_body(headers(), io.BytesIO(b"more")) == b""
    chunks = b"2;x=y\r\nwa\r\n2\r\nnt\r\n0\r\n\r\nmore"
    stream = io.BytesIO(chunks)
    assert request_body(headers(Transfer_Encoding="chunked"), stream) == b"want"
    assert stream.read() == b"more"
    compressed = headers(Content_Length=str(len(packed)), Content_Encoding="gzip")
    assert request_body(compressed, io.BytesIO(packed)) == b"want"


def test_the_backend_knows_nothing_of_this_machines_git_settings() -> None:
    made = backend_environment(
        Path("/served"), "GET", f"/{NAME}/info/refs?service=x", headers(Git_Protocol="version=2")
    )
    assert made["GIT_CONFIG_GLOBAL"] == os.devnull
    assert made["PATH_INFO"] == f"/{NAME}/info/refs"
    assert made["QUERY_STRING"] == "service=x"
    assert made["GIT_PROTOCOL"] == "version=2"
    assert "HOME" not in made
