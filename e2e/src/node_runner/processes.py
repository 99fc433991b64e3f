"""Processes in sessions of their own, and what the kernel says about them."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
# The local cluster finds by it what its parts left behind.
_MARK = "LOCAL_CLUSTER_PART"
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Usage:
    """What the processes of one session used."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu_seconds + other.cpu_seconds, self.memory_bytes + other.memory_bytes)


@dataclass(frozen=True)
class _Stat:
    pid: int
    state: str
    session: int
    started: int
    usage: Usage


class Process:
    """A program that runs in a session of its own, and a file that lets a later run find it."""

    def __init__(self, process: asyncio.subprocess.Process, record: Path) -> None:
        self._process, self._record = process, record
        self.pid = process.pid
        self._exit = asyncio.create_task(self._reap())
        record.parent.mkdir(parents=True, exist_ok=True)
        record.write_text(json.dumps({"pid": self.pid, "started": _started(self.pid)}))

    @classmethod
    async def start(
        cls,
        argv: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Path,
        record: Path,
    ) -> "Process":
        """Start the program in `folder` with its output in `log`; OSError when it cannot be run."""
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            process = await asyncio.create_subprocess_exec(
                *argv,
                env={**environment, **_mark()},
                cwd=folder,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=asyncio.subprocess.STDOUT,
                start_new_session=True,
            )
        return cls(process, record)

    async def wait(self) -> int:
        """Return the exit status once the program ended, 128 + n for signal n."""
        return await asyncio.shield(self._exit)

    async def _reap(self) -> int:
        status = await self._process.wait()
        # Its children end with it, as they do with a container's PID 1.
        kill_session(self.pid)
        self._record.unlink(missing_ok=True)
        return 128 - status if status < 0 else status

    def terminate(self) -> None:
        """Ask the program, not its children, to end: it is the container's PID 1."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End the whole session at once."""
        kill_session(self.pid)


def kill_session(session: int) -> None:
    """Send SIGKILL to every process of a session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(session, signal.SIGKILL)
    for stat in _stats():
        if stat.session == session and stat.state != "Z":
            with contextlib.suppress(ProcessLookupError):
                os.kill(stat.pid, signal.SIGKILL)


def kill_recorded(record: Path) -> bool:
    """End the process that an earlier run recorded; False where it is gone or another."""
    try:
        found = json.loads(record.read_text())
        alive = bool(_started(found["pid"]) == found["started"])
    except (OSError, ValueError, KeyError):
        alive = False
    if alive:
        kill_session(found["pid"])
    record.unlink(missing_ok=True)
    return alive


def usage_by_session() -> dict[int, Usage]:
    """Return what each session of this machine uses now."""
    found: dict[int, Usage] = {}
    for stat in _stats():
        found[stat.session] = found.get(stat.session, Usage()) + stat.usage
    return found


def _mark() -> dict[str, str]:
    return {_MARK: os.environ[_MARK]} if _MARK in os.environ else {}


def _stats() -> Iterator[_Stat]:
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                yield _stat(int(entry.name))


def _stat(pid: int) -> _Stat:
    text = Path(f"/proc/{pid}/stat").read_text()
    # The name stands in parentheses and may hold spaces and parentheses itself.
    fields = text[text.rindex(")") + 2 :].split()
    ticks = sum(int(fields[index]) for index in (11, 12, 13, 14))
    return _Stat(
        pid=pid,
        state=fields[0],
        session=int(fields[3]),
        started=int(fields[19]),
        usage=Usage(ticks / _TICKS, int(fields[21]) * _PAGE),
    )


def _started(pid: int) -> int | None:
    try:
        stat = _stat(pid)
    except OSError:
        return None
    return None if stat.state == "Z" else stat.started
