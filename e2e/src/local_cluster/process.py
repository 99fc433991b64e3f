"""Detached processes: each with a log and a record of pid and start time in its folder."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from local_cluster.cluster import ClusterError
from local_cluster.kernel import PROC, processes, stat

MARK = "LOCAL_CLUSTER_PART"
"""In the environment of every process that we start, so that `down` finds its children too."""
NICE = "10"
_POLL_SECONDS = 0.05
_LINE_CHARACTERS = 400


@dataclass(frozen=True)
class Record:
    """A process that was started; the start time tells it from a later one with its pid."""

    pid: int
    started: int


def log_path(folder: Path) -> Path:
    """The output of the process of a folder."""
    return folder / "log"


def start(
    name: str,
    folder: Path,
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    gives_way: bool = False,
) -> Record:
    """Start a program in a session of its own, its output appended to `<folder>/log`.

    One that gives way runs when others leave it time.
    """
    folder.mkdir(parents=True, exist_ok=True)
    before = ["nice", "-n", NICE] if gives_way else []
    with log_path(folder).open("ab") as output:
        try:
            popen = subprocess.Popen(
                [*before, *argv],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **environment, MARK: str(folder)},
                start_new_session=True,
            )
        except OSError as error:
            raise ClusterError(f"{name}: {argv[0]} could not be started: {error}") from error
    popen.returncode = 0  # It outlives us by design: no warning that nobody waits for it.
    record = adopt(folder, popen.pid)
    if record is None:
        raise ClusterError(ended(name, folder))
    if gives_way:
        # Where the kernel shares time among sessions, the programs' own niceness says nothing.
        with contextlib.suppress(OSError):
            Path(f"/proc/{popen.pid}/autogroup").write_text(NICE)
    return record


def adopt(folder: Path, pid: int) -> Record | None:
    """Record a process that something else started; None where it is dead."""
    found = stat(pid)
    if found is None:
        return None
    record = Record(pid, found.started)
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "process.json.new"
    temporary.write_text(json.dumps(asdict(record)))
    temporary.replace(folder / "process.json")
    return record


def recorded(folder: Path) -> Record | None:
    """The process that was started last, dead or alive."""
    try:
        return Record(**json.loads((folder / "process.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None


def alive(folder: Path) -> Record | None:
    """The process of a folder if it lives."""
    record = recorded(folder)
    return record if record is not None and _lives(record) else None


def require_free(name: str, host: str, port: int) -> None:
    """ClusterError where another program listens already."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise ClusterError(
                f"{name}: {host}:{port} cannot be had ({error.strerror}): end the program that "
                "listens there, or set LOCAL_CLUSTER_NETWORK to another network, as in 127.50"
            ) from error


def stop(folder: Path, within: float = 10) -> None:
    """SIGTERM, then SIGKILL when `within` seconds pass, and to what is left of its session."""
    record = alive(folder)
    if record is not None:
        _signal(record.pid, signal.SIGTERM)
        limit = time.monotonic() + within
        while _lives(record) and time.monotonic() < limit:
            time.sleep(_POLL_SECONDS)
        if _lives(record):
            _signal(record.pid, signal.SIGKILL)
        kill(found.pid for found in processes() if found.session == record.pid)
    (folder / "process.json").unlink(missing_ok=True)


def left_of(folder: Path) -> list[int]:
    """Pids of processes that were started below a folder, by the mark in their environment."""
    spared = _ancestors()
    prefix = f"{MARK}={folder}/".encode()
    return [
        found.pid for found in processes() if found.pid not in spared and _marked(found.pid, prefix)
    ]


def kill(pids: Iterable[int], within: float = 5) -> None:
    """SIGKILL, and wait until they are gone."""
    doomed = list(pids)
    for pid in doomed:
        _signal(pid, signal.SIGKILL)
    limit = time.monotonic() + within
    while any(stat(pid) for pid in doomed) and time.monotonic() < limit:
        time.sleep(_POLL_SECONDS)


def log_tail(folder: Path, lines: int = 12) -> str:
    """The end of its log, for a message."""
    try:
        with log_path(folder).open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 400 * lines))
            text = log.read().decode(errors="replace")
    except OSError:
        return "(it wrote no log)"
    ends = [line[:_LINE_CHARACTERS] for line in text.splitlines()[-lines:]]
    return "\n".join(ends) or "(its log is empty)"


def ended(name: str, folder: Path) -> str:
    """The message about a program that has no business to end."""
    return f"{name}: it ended by itself; the end of {log_path(folder)}:\n{log_tail(folder)}"


def memory(folder: Path) -> int:
    """Bytes that the process and its children hold, shared pages counted once; 0 when dead."""
    record = alive(folder)
    if record is None:
        return 0
    mark = f"{MARK}={folder}\0".encode()
    pids = {
        found.pid
        for found in processes()
        if found.session == record.pid or _marked(found.pid, mark)
    }
    return sum(_proportional_set_size(pid) for pid in pids | {record.pid})


def _lives(record: Record) -> bool:
    found = stat(record.pid)
    return found is not None and found.started == record.started


def _ancestors() -> set[int]:
    pid, found = os.getpid(), set[int]()
    while pid > 1 and pid not in found:
        found.add(pid)
        above = stat(pid)
        pid = above.parent if above else 0
    return found


def _marked(pid: int, mark: bytes) -> bool:
    try:
        environment = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return False
    return environment.startswith(mark) or b"\0" + mark in environment


def _proportional_set_size(pid: int) -> int:
    try:
        text = (PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in text.splitlines() if line.startswith("Pss:"))


def _signal(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
