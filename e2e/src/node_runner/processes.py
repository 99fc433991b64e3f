"""Processes in sessions of their own, and what the kernel says about them."""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from local_cluster.kernel import processes, stat
from local_cluster.process import MARK


@dataclass(frozen=True)
class Usage:
    """What the processes of one session used."""

    cpu_seconds: float = 0.0
    memory_bytes: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        return Usage(self.cpu_seconds + other.cpu_seconds, self.memory_bytes + other.memory_bytes)


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
    for found in processes():
        if found.session == session:
            with contextlib.suppress(ProcessLookupError):
                os.kill(found.pid, signal.SIGKILL)


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
    for each in processes():
        used = Usage(each.cpu_seconds, each.memory_bytes)
        found[each.session] = found.get(each.session, Usage()) + used
    return found


def _mark() -> dict[str, str]:
    """What the local cluster finds by what its parts left behind."""
    return {MARK: os.environ[MARK]} if MARK in os.environ else {}


def _started(pid: int) -> int | None:
    found = stat(pid)
    return found.started if found else None
