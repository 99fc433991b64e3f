"""A Prometheus server of one's own on a free port, stopped when it is no longer needed."""

import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

#: Samples of the past are taken as they come: releases are written one after the other.
_CONFIGURATION = "storage: {tsdb: {out_of_order_time_window: 4h}}\n"
_SECONDS_TO_START = 30.0


class ServerError(Exception):
    """The server did not start; the message ends with its log."""


@contextmanager
def prometheus(binary: Path, data: Path | None = None) -> Iterator[str]:
    """Run the server while the block does; its address. It takes remote writes.

    `data` is a folder of blocks to begin with; without it the server is empty.
    Raises ServerError when it cannot be started.
    """
    with tempfile.TemporaryDirectory() as name:
        folder, address = Path(name), f"127.0.0.1:{_free_port()}"
        (folder / "prometheus.yml").write_text(_CONFIGURATION)
        command = [
            str(binary),
            f"--config.file={folder / 'prometheus.yml'}",
            f"--storage.tsdb.path={data or folder / 'data'}",
            f"--web.listen-address={address}",
            "--web.enable-remote-write-receiver",
        ]
        with (folder / "log").open("wb") as log:
            try:
                server = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: S603
            except OSError as error:
                raise ServerError(f"{binary}: {error.strerror}") from None
        try:
            _await(server, f"http://{address}", folder / "log")
            yield f"http://{address}"
        finally:
            server.terminate()
            server.wait(30)


def _await(server: "subprocess.Popen[bytes]", address: str, log: Path) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while not _ready(address):
        if server.poll() is not None or time.monotonic() > deadline:
            raise ServerError(f"Prometheus did not start: {log.read_text()[-2000:]}")
        time.sleep(0.05)


def _ready(address: str) -> bool:
    try:
        return httpx.get(f"{address}/-/ready", timeout=1, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
