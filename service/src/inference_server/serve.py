"""Runs the server: one process, or a supervisor with several."""

import logging
import os
import signal
import socket
import tempfile
from functools import partial
from importlib import import_module

import uvicorn
from starlette.types import ASGIApp

from inference_server.observability import logs
from inference_server.security.keys import read_keys
from inference_server.settings import Settings
from inference_server.supervisor.board import Board, Place
from inference_server.supervisor.place import open_board, state_folder, take
from inference_server.supervisor.quarantine import Quarantine
from inference_server.supervisor.worker import Server

# What workers share by being forked after it; ONNX Runtime and numpy, which start threads, are not.
_SHARED_MODULES = ("fastapi", "uvloop", "uvicorn.lifespan.on", "orjson")

_log = logging.getLogger(__name__)


class CannotListenError(Exception):
    """The address is taken, or is none of this machine."""


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit status. Raises CannotListenError, KeyFileError."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    if settings.api_key_hashes_file is not None:
        read_keys(settings.api_key_hashes_file)  # said here, once, not by each worker
    logs.configure(settings.log_level)
    listener = _listen(settings.host, settings.port)
    address = "{}:{}".format(*listener.getsockname()[:2])
    _log.info("listening", extra={"address": address})
    with state_folder(settings.state_folder) as folder:
        board, quarantine, convicted = open_board(folder, settings.workers)
        for version in convicted:
            _log.error("model quarantined: %s", version, extra={"reason": "the last run crashed"})
        if settings.workers > 1:
            return _supervise(settings, listener, board, quarantine)
        take(board.places[0], supervised=False)
        server = Server(_configuration(settings), settings.drain_seconds)
        server.run([listener])
        return 0 if server.started else 1


def _configuration(settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        partial(_create_app, settings),
        factory=True,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


def _create_app(settings: Settings) -> ASGIApp:
    from inference_server.app import create_app

    return create_app(settings)


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotListenError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    return listener


def _supervise(
    settings: Settings, listener: socket.socket, board: Board, quarantine: Quarantine
) -> int:
    with tempfile.TemporaryDirectory(prefix="inference-metrics-") as folder:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = folder
        from inference_server.supervisor.supervisor import Supervisor

        for name in _SHARED_MODULES:
            import_module(name)
        work = partial(_be_worker, settings)
        return Supervisor(settings, listener, board, quarantine, work).run()


def _be_worker(settings: Settings, place: Place, channel: socket.socket) -> None:
    take(place, supervised=True)
    logs.configure(settings.log_level)
    Server(_configuration(settings), settings.drain_seconds, channel).run([])
