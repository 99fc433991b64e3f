"""Where this process stands: alone, or as one worker of several."""

import errno
import fcntl
import logging
import os
from pathlib import Path

from inference_server.supervisor.board import Board, Place, suspects_of_former_run
from inference_server.supervisor.quarantine import VARIABLE, Quarantine

_log = logging.getLogger(__name__)
_here: list[Place] = []
_supervised: list[bool] = []
_locks: list[int] = []


def take(place: Place, supervised: bool) -> None:
    """This process works at that place from now on."""
    _here[:] = [place]
    _supervised[:] = [supervised]


def here() -> Place:
    """The place of this process; one of its own where nobody gave it any."""
    if not _here:
        take(Board(None, 1).places[0], supervised=False)
    return _here[0]


def supervised() -> bool:
    """Whether a supervisor says when this process has to stop."""
    return _supervised == [True]


def open_board(folder: Path, workers: int) -> tuple[Board, Quarantine]:
    """A fresh board and the quarantine in this folder.

    Raises OSError where it cannot be written, or is another server's: what runs there would pass
    for what ran at an unexpected end.
    What ran when the former run ended unexpectedly gets its strike first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    _claim(folder / "lock")
    quarantine = Quarantine(folder)
    former = suspects_of_former_run(folder / "board")
    reason = "ran when the server ended unexpectedly"
    for version in quarantine.blame(former, reason, fault=False):
        _log.error("model quarantined: %s", version, extra={"reason": reason})
    os.environ[VARIABLE] = str(quarantine.file)
    return Board(folder / "board", workers), quarantine


def _claim(lock: Path) -> None:
    """Keep other servers out while this process lives; its workers do not inherit the lock."""
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise OSError(errno.EBUSY, "another server uses it") from None
    _locks.append(descriptor)
