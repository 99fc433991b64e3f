"""A server process with all its children: started, watched, stopped."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from service.bench.places import ROOT, BenchError

_TICKS = os.sysconf("SC_CLK_TCK")
_PATIENCE = 90


@dataclass(frozen=True)
class Running:
    """A server that answers; `family` is every process of its session."""

    process: subprocess.Popen[bytes]
    port: int
    log: Path

    @property
    def address(self) -> str:
        """Address and port."""
        return f"127.0.0.1:{self.port}"

    def family(self) -> list[int]:
        """Process ids of the server and of all that it started."""
        return sorted(_session(self.process.pid))

    def memory(self) -> float:
        """MiB of all its processes, pages that they share counted once (PSS)."""
        return sum(map(_proportional, self.family())) / 1024

    def cpu(self) -> float:
        """Seconds of processor time of all its processes so far."""
        return sum(_stat_seconds(Path(f"/proc/{pid}/stat")) for pid in self.family())

    def main_thread_cpu(self) -> float:
        """Seconds of processor time of the first thread: where the event loop runs."""
        pid = self.process.pid
        return _stat_seconds(Path(f"/proc/{pid}/task/{pid}/stat"))

    def said(self) -> str:
        """Return the end of its output."""
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""


def on_cores(cores: Collection[int]) -> Callable[[], None] | None:
    """Return what binds a new process to these cores before it starts; None for any core."""
    return partial(os.sched_setaffinity, 0, cores) if cores else None


def separate_cores() -> tuple[set[int], set[int]]:
    """Return a core for the server, and the others for those who ask; any, if there is but one.

    Where they share cores, the kernel takes turns of milliseconds, which is not what the server
    does to a request.
    """
    first, *others = sorted(os.sched_getaffinity(0))
    return ({first}, set(others)) if others else (set(), set())


def free_port() -> int:
    """Return a port that nobody listens on, with 1000 and 2000 above it free as well."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port < 32768 or all(_is_free(port + more) for more in (1000, 2000)):
            return port


def _is_free(port: int) -> bool:
    if port > 65535:
        return False
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


@contextmanager
def running(
    command: Sequence[str | Path],
    port: int,
    ready: str,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    cores: Collection[int] = (),
) -> Iterator[Running]:
    """Run a server until the block ends, on these cores if there are any.

    Raises BenchError unless `ready` answers 200 in time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "output.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=ROOT,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            env=os.environ | dict(environment or {}),
            preexec_fn=on_cores(cores),
        )
    server = Running(process, port, log)
    try:
        _wait_until_ready(server, ready)
        yield server
    finally:
        _stop(server)


def _wait_until_ready(server: Running, path: str) -> None:
    until = time.monotonic() + _PATIENCE
    while time.monotonic() < until:
        if server.process.poll() is not None:
            raise BenchError(f"exit status {server.process.returncode}:\n{server.said()}")
        if _answers(f"http://{server.address}{path}"):
            return
        time.sleep(0.05)
    raise BenchError(f"not ready within {_PATIENCE} s:\n{server.said()}")


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:
            return bool(answer.status == 200)
    except (OSError, urllib.error.URLError):
        return False


def _stop(server: Running) -> None:
    """Stop every process of the server: politely, then by force."""
    for number, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        for pid in server.family():
            with suppress(ProcessLookupError):
                os.kill(pid, number)
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            server.process.poll()
            if not server.family():
                server.process.wait()
                return
            time.sleep(0.05)


def _session(leader: int) -> set[int]:
    """Return the live processes of a session and their descendants, wherever these went."""
    parents, found = {}, set()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        state, parent, session = fields[0], int(fields[1]), int(fields[3])
        if state in "ZX":
            continue
        parents[int(folder.name)] = parent
        if session == leader:
            found.add(int(folder.name))
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def _stat_seconds(path: Path) -> float:
    try:
        fields = path.read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("Pss:")), 0)
