"""How a fetch can end; the exit statuses are the contract with the init container."""

WRONG_HASH = 1
NOT_FOUND = 2
UNREACHABLE = 3
MISUSE = 64
CANNOT_WRITE = 73


class FetchError(Exception):
    """A fetch that did not succeed: the exit status, and why."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class TemporaryError(FetchError):
    """A failure that may be gone at the next attempt."""

    def __init__(self, message: str) -> None:
        super().__init__(UNREACHABLE, message)
