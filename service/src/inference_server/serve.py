"""Runs the server: one process, or a supervisor with several."""

import logging
import os
import signal
import socket
import sys
import tempfile
from functools import partial
from importlib import import_module
from pathlib import Path

import uvicorn
from starlette.types import ASGIApp

from inference_server.observability import logs
from inference_server.observability.families import EXITS
from inference_server.observability.store import Store
from inference_server.security.guard import Guard
from inference_server.settings import Settings
from inference_server.supervisor.board import Board, Place
from inference_server.supervisor.place import open_board, take
from inference_server.supervisor.quarantine import Quarantine
from inference_server.supervisor.supervisor import Supervisor
from inference_server.supervisor.worker import Server

# What workers share by being forked after it; ONNX Runtime and numpy, which start threads, are not.
_SHARED_MODULES = ("fastapi", "uvloop", "uvicorn.lifespan.on", "orjson")

_log = logging.getLogger(__name__)


class CannotListenError(Exception):
    """The address is taken, or is none of this machine."""


class StateFolderError(Exception):
    """What has to outlive a process, or to be shared by several, cannot be written."""


def serve(settings: Settings) -> int:
    """Serve until SIGTERM or SIGINT; the exit status.

    Raises CannotListenError, KeyFileError, StateFolderError.
    """
    # ONNX Runtime's builds report to their maker.
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to reload
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))  # until there is something to drain
    Guard(settings)  # what is wrong with its keys is said here, once, not by each worker
    logs.configure(settings.log_level)
    listener = _listen(settings.host, settings.port)
    if settings.grpc_port is not None:
        _listen(settings.host, settings.grpc_port).close()  # gRPC would take the process with it
    address = "{}:{}".format(*listener.getsockname()[:2])
    _log.info("listening", extra={"address": address})
    if settings.workers > 1:
        return _serve_by_workers(settings, listener)
    board = Board(None, 1)
    if settings.state_folder is not None:
        board, _ = _open_board(settings.state_folder, 1)
    take(board.places[0], supervised=False)
    server = Server(_configuration(settings), settings.drain_seconds)
    server.run([listener])
    return 0 if server.started else 1


def _open_board(folder: Path, workers: int) -> tuple[Board, Quarantine]:
    try:
        return open_board(folder, workers)
    except OSError as error:
        raise StateFolderError(f"{folder} cannot be written: {error.strerror}") from None


def _configuration(settings: Settings) -> uvicorn.Config:
    from inference_server.transport.connection import Connection  # brings ONNX Runtime

    return uvicorn.Config(
        partial(_create_app, settings),
        factory=True,
        http=Connection,
        ws="none",
        loop="uvloop",
        proxy_headers=False,
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


def _serve_by_workers(settings: Settings, listener: socket.socket) -> int:
    try:
        scratch = tempfile.TemporaryDirectory(prefix="inference-server-")
    except OSError as error:
        raise StateFolderError(f"several workers need a folder for scratch: {error}") from None
    with scratch as name:
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(Path(name, "metrics"))
        Path(name, "metrics").mkdir()
        board, quarantine = _open_board(settings.state_folder or Path(name), settings.workers)
        counts = Store([EXITS], Path(name, "metrics"))
        for module in _SHARED_MODULES:
            import_module(module)
        work = partial(_be_worker, settings)
        return Supervisor(settings, listener, board, quarantine, counts, work).run()


def _be_worker(settings: Settings, place: Place, channel: socket.socket) -> None:
    take(place, supervised=True)
    logs.configure(settings.log_level)
    try:
        Server(_configuration(settings), settings.drain_seconds, channel).run([])
    except Exception:
        _log.exception("worker failed")
        sys.exit(1)
