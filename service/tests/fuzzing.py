"""How much is tried: `make test` the same few cases each time, `make fuzz` new ones, many more."""

import os
import random
import secrets
from collections.abc import Iterator
from pathlib import Path

from .conftest import Server, wait_until

TIMES = int(os.environ.get("FUZZ_TIMES", "1"))
SEED = os.environ.get("FUZZ_SEED") or ("0" if TIMES == 1 else secrets.token_hex(4))


def cases(smoke: int, name: str) -> Iterator[tuple[str, random.Random]]:
    """Names of cases with their randomness: FUZZ_SEED and the name make the same case again."""
    for number in range(smoke * TIMES):
        case = f"{SEED}/{name}/{number}"
        yield case, random.Random(case)


def descriptors(server: Server) -> int:
    """Open files and sockets of the server process."""
    return len(list(Path(f"/proc/{server.process.pid}/fd").iterdir()))


def assert_unharmed(server: Server, before: int) -> None:
    """The server lives, answers, holds no forgotten connection, and has seen no error."""
    assert server.process.poll() is None
    assert server.get("/v2/health/ready").status_code == 200
    wait_until(lambda: descriptors(server) <= before + 2)
