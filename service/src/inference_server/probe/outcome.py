"""How a probe can end; the exit statuses are the contract with the analysis jobs."""

from dataclasses import dataclass

PASS = 0
FAIL = 1
MISUSE = 2
UNDECIDED = 3

WORDS = {PASS: "pass", FAIL: "fail", MISUSE: "misuse", UNDECIDED: "undecided"}


@dataclass(frozen=True)
class Report:
    """The exit status, why in one line, and what was found on the way."""

    status: int
    reason: str
    details: tuple[str, ...] = ()


class ProbeError(Exception):
    """A probe that ends before it has measured: the exit status, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
