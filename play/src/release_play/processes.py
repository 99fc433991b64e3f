"""The real programs a play starts: each with a log, a readiness wait and a bounded stop."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType

import httpx

STOP_SECONDS = 15.0


class ProcessError(Exception):
    """A program did not start or died; the message names it and ends with its log."""


@dataclass
class Process:
    """One running program. `lasting`: it has no business to end by itself."""

    name: str
    popen: subprocess.Popen[bytes]
    log: Path
    lasting: bool = True

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        return self.popen.poll() is None

    def log_tail(self, lines: int = 8) -> str:
        """The end of its log, for a message."""
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return "\n".join(text.splitlines()[-lines:])

    def require_alive(self) -> None:
        """Raise ProcessError when it has ended."""
        if not self.alive:
            raise ProcessError(
                f"{self.name} ended with status {self.popen.returncode}; "
                f"the end of {self.log}:\n{self.log_tail()}"
            )

    def terminate(self) -> None:
        """Ask it to end: SIGTERM."""
        if self.alive:
            self.popen.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End it and what it started: SIGKILL to its process group."""
        if self.alive:
            os.killpg(self.popen.pid, signal.SIGKILL)

    def stop(self, within: float = STOP_SECONDS) -> int:
        """SIGTERM, then SIGKILL when `within` seconds pass; exit status."""
        self.terminate()
        try:
            self.popen.wait(within)
        except subprocess.TimeoutExpired:
            self.kill()
        return self.popen.wait()


@dataclass
class ProcessGroup:
    """Everything a play started; leaving the context stops it, newest first."""

    logs: Path
    running: list[Process] = field(default_factory=list)

    def __enter__(self) -> ProcessGroup:
        self.logs.mkdir(parents=True, exist_ok=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            for process in reversed(self.running):
                process.terminate()
            for process in reversed(self.running):
                process.stop()
        except KeyboardInterrupt:
            for process in self.running:
                process.kill()
            raise

    def start(
        self,
        name: str,
        command: Sequence[str],
        environment: Mapping[str, str] | None = None,
        *,
        lasting: bool = True,
    ) -> Process:
        """Start a program in a process group of its own, its output in `<logs>/<name>.log`."""
        log = self.logs / f"{name}.log"
        with log.open("ab") as output, _signals_held():
            try:
                popen = subprocess.Popen(  # noqa: S603
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **(environment or {})},
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessError(f"{name} could not be started: {error}") from error
            process = Process(name, popen, log, lasting)
            self.running.append(process)
        return process

    def run(
        self, name: str, command: Sequence[str], environment: Mapping[str, str], within: float
    ) -> None:
        """Run a program to its end; ProcessError unless it exits 0 `within` seconds."""
        process = self.start(name, command, environment)
        try:
            status = process.popen.wait(within)
        except subprocess.TimeoutExpired as error:
            raise ProcessError(f"{name} did not end within {within:.0f} s") from error
        finally:
            self.stop(process)
        if status != 0:
            raise ProcessError(f"{name} ended with status {status}:\n{process.log_tail()}")

    def stop(self, process: Process) -> int:
        """Stop one program and forget it; its exit status."""
        status = process.stop()
        if process in self.running:
            self.running.remove(process)
        return status


@contextmanager
def _signals_held() -> Iterator[None]:
    """Let Ctrl-C and SIGTERM wait: a program that has started but is not listed yet would stay."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    held: list[int] = []
    before = {
        number: signal.signal(number, lambda received, _: held.append(received))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    for held_number in held:
        signal.raise_signal(held_number)


def wait_until_ready(
    process: Process, url: str, within: float, *, sleep: Callable[[float], None] = time.sleep
) -> None:
    """Poll `url` until it answers 200; ProcessError when the program dies or time is over."""
    deadline, answer = time.monotonic() + within, "no answer"
    with httpx.Client(timeout=2.0) as client:
        while time.monotonic() < deadline:
            process.require_alive()
            try:
                response = client.get(url)
                if response.status_code == httpx.codes.OK:
                    return
                answer = f"{response.status_code}: {response.text[:500]}"
            except httpx.HTTPError as error:
                answer = str(error)
            sleep(0.1)
    raise ProcessError(
        f"{process.name} was not ready within {within:.0f} s; {url} said {answer}\n"
        f"the end of {process.log}:\n{process.log_tail()}"
    )


def free_port(host: str = "127.0.0.1") -> int:
    """A port that is free on `host` now."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])
