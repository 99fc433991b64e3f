"""Where this process stands: alone, or as one worker of several."""

import logging
import os
from pathlib import Path

from inference_server.supervisor.board import Board, Place, suspects_of_former_run
from inference_server.supervisor.quarantine import VARIABLE, Quarantine

_log = logging.getLogger(__name__)
_here: list[Place] = []
_supervised: list[bool] = []


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
    """A fresh board and the quarantine in this folder; raises OSError where it cannot be written.

    What ran when the former run ended unexpectedly gets its strike first.
    """
    folder.mkdir(parents=True, exist_ok=True)
    quarantine = Quarantine(folder)
    former = suspects_of_former_run(folder / "board")
    reason = "ran when the server ended unexpectedly"
    for version in quarantine.blame(former, reason, fault=False):
        _log.error("model quarantined: %s", version, extra={"reason": reason})
    os.environ[VARIABLE] = str(quarantine.file)
    return Board(folder / "board", workers), quarantine
