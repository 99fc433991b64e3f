"""Where this process stands: alone, or as one worker of several."""

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from inference_server.supervisor.board import Board, Place, suspects_of_former_run
from inference_server.supervisor.quarantine import VARIABLE, Quarantine

_here: list[Place] = []
_supervised: list[bool] = []


def take(place: Place, supervised: bool) -> None:
    """This process works at that place from now on."""
    _here[:] = [place]
    _supervised[:] = [supervised]


def here() -> Place:
    """The place of this process; one of its own where nobody gave it any."""
    if not _here:
        with tempfile.TemporaryDirectory(prefix="inference-board-") as folder:
            take(Board(Path(folder) / "board", 1).places[0], supervised=False)
    return _here[0]


def supervised() -> bool:
    """Whether a supervisor says when this process has to stop."""
    return _supervised == [True]


@contextmanager
def state_folder(chosen: Path | None) -> Iterator[Path]:
    """The folder of the board and the quarantine; a temporary one unless one is chosen."""
    if chosen is not None:
        chosen.mkdir(parents=True, exist_ok=True)
        yield chosen
        return
    with tempfile.TemporaryDirectory(prefix="inference-server-") as folder:
        yield Path(folder)


def open_board(folder: Path, workers: int) -> tuple[Board, Quarantine, list[str]]:
    """A fresh board, the quarantine, and the versions that the former run's end put into it."""
    quarantine = Quarantine(folder)
    former = suspects_of_former_run(folder / "board")
    convicted = quarantine.blame(former, "ran when the server ended unexpectedly", fault=False)
    os.environ[VARIABLE] = str(quarantine.file)
    return Board(folder / "board", workers), quarantine, convicted
