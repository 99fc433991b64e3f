"""Model versions that brought a process down, and are not to be loaded again."""

import signal
from collections.abc import Sequence
from pathlib import Path

VARIABLE = "INFERENCE_QUARANTINE_FILE"
# What a fault in native code raises. SIGKILL may come from the OOM killer, or from a person.
FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGSYS}
)
STRIKES = 2


class Quarantine:
    """Two files in a folder: `quarantine` (`name/version reason` a line), and `strikes` alike.

    A fault while one version alone ran is proof. A SIGKILL, an end without a known reason, or a
    fault while several ran is a strike for each of them; the second strike counts as proof.
    """

    def __init__(self, folder: Path) -> None:
        self.file = folder / "quarantine"
        self._strikes = folder / "strikes"

    def blame(self, suspects: Sequence[str], reason: str, fault: bool) -> list[str]:
        """Judge a process's end; the versions that are quarantined from now on."""
        convicted = []
        for suspect in suspects:
            if suspect in names(self.file):
                continue
            _append(self._strikes, suspect, reason)
            if (fault and len(suspects) == 1) or names(self._strikes).count(suspect) >= STRIKES:
                _append(self.file, suspect, reason)
                convicted.append(suspect)
        return convicted


def names(file: Path) -> list[str]:
    """The first word of each line."""
    try:
        return [line.split(" ", 1)[0] for line in file.read_text().splitlines() if line.strip()]
    except FileNotFoundError:
        return []


def _append(file: Path, name: str, reason: str) -> None:
    with file.open("a") as lines:
        lines.write(f"{name} {reason}\n")
