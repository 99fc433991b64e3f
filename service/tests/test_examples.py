"""What the documents tell a stranger to type works as it stands there."""

import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from .conftest import free_port, wait_until
from .onnx_models import FLOAT, INT64, node, value, write

SERVICE = Path(__file__).parents[1]
BIN = Path(sys.executable).parent


class Step(NamedTuple):
    """A command of a console block, and what stands under it."""

    command: str
    expected: str


def steps(document: Path, heading: str) -> list[Step]:
    """The commands of the console blocks below a heading, in order."""
    section = re.split(r"\n## ", document.read_text().partition(heading)[2])[0]
    blocks = re.findall(r"```console\n(.*?)```", section, re.DOTALL)
    return [
        Step(command, "\n".join(expected))
        for command, *expected in (
            part.splitlines() for block in blocks for part in re.split(r"(?m)^\$ ", block)[1:]
        )
    ]


def without_numbers(text: str) -> str:
    return re.sub(r"\d+(\.\d+)?(e-?\d+)?", "#", text).strip()


class Terminal:
    """Types commands in a folder; a server goes on in the background, on free ports."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ports = {port: str(free_port()) for port in ("8080", "8081")}
        self.environment = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        self.server: subprocess.Popen[bytes] | None = None

    def type(self, command: str) -> str:
        for documented, free in self.ports.items():
            command = command.replace(documented, free)
        if command.startswith("inference-server"):
            self._serve(command)
            return ""
        done = subprocess.run(
            command,
            shell=True,
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def _serve(self, command: str) -> None:
        self.server = subprocess.Popen(
            shlex.split(command), cwd=self.folder, env=self.environment, stderr=subprocess.DEVNULL
        )
        wait_until(self._ready)

    def _ready(self) -> bool:
        assert self.server is not None
        assert self.server.poll() is None
        return b" 200 " in self._first_line(b"GET /v2/health/ready HTTP/1.0\r\n\r\n")

    def _first_line(self, request: bytes) -> bytes:
        try:
            with socket.create_connection(("127.0.0.1", int(self.ports["8080"])), 5) as connection:
                connection.sendall(request)
                return connection.recv(4096).partition(b"\r\n")[0]
        except OSError:
            return b""

    def close(self) -> None:
        if self.server is not None:
            self.server.send_signal(signal.SIGTERM)
            self.server.wait(30)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "service").symlink_to(SERVICE)
    opened = Terminal(tmp_path)
    yield opened
    opened.close()


def follow(terminal: Terminal, document: Path, heading: str) -> list[tuple[str, str]]:
    """Type every command; what the document shows and what was answered."""
    return [(step.expected, terminal.type(step.command)) for step in steps(document, heading)]


def test_a_stranger_serves_an_own_model_in_three_commands(terminal: Terminal) -> None:
    write(
        terminal.folder / "mine.onnx",
        [node("ReduceSum", "x axes", "sum", keepdims=0), node("Cast", "sum", "y", to=INT64)],
        [value("x", FLOAT, "N", 3)],
        [value("y", INT64, "N")],
        {"axes": np.array([1])},
    )
    done = follow(terminal, SERVICE / "README.md", "## Serve your own model")
    assert len(done) == 3
    for expected, answered in done:
        assert without_numbers(answered) == without_numbers(expected)


def test_the_examples_train_serve_and_answer_every_client(terminal: Terminal) -> None:
    done = follow(terminal, SERVICE / "examples" / "README.md", "# Two models")
    assert len(done) == 8
    for expected, answered in done:
        assert without_numbers(answered) == without_numbers(expected)
    digits = [answered.split() for _, answered in done[-2:]]
    assert digits == [list("01234567")] * 2
