"""Runs the server: one process, or a supervisor with several."""

import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import uvicorn
from prometheus_client.multiprocess import mark_process_dead
from starlette.types import ASGIApp
from uvicorn.supervisors import Multiprocess

from inference_server.observability import logs
from inference_server.security.keys import read_keys
from inference_server.settings import Settings

_log = logging.getLogger(__name__)


class CannotListenError(Exception):
    """The address is taken, or is none of this machine."""


def serve(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT; raises CannotListenError, KeyFileError."""
    if settings.api_key_hashes_file is not None:
        read_keys(settings.api_key_hashes_file)  # said here, once, not by each worker
    logs.configure(settings.log_level)
    listener = _listen(settings.host, settings.port)
    address = "{}:{}".format(*listener.getsockname()[:2])
    _log.info("listening", extra={"address": address})
    if settings.workers > 1:
        _serve_with_workers(settings, listener)
    else:
        from inference_server.app import create_app

        for number in (signal.SIGTERM, signal.SIGINT):
            # uvicorn raises a signal again after its shutdown: this makes it exit status 0
            signal.signal(number, lambda *_: sys.exit(0))
        uvicorn.Server(_configuration(settings, create_app)).run([listener])


def _configuration(settings: Settings, create_app: Callable[[Settings], ASGIApp]) -> uvicorn.Config:
    return uvicorn.Config(
        partial(create_app, settings),
        factory=True,
        workers=settings.workers,
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=True,
        timeout_graceful_shutdown=settings.shutdown_seconds,
    )


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        raise CannotListenError(f"cannot listen on {host}:{port}: {error.strerror}") from None
    listener.set_inheritable(True)
    return listener


def create_worker_app(settings: Settings) -> ASGIApp:
    """The application in a worker process, whose logging starts afresh."""
    from inference_server.app import create_app

    logs.configure(settings.log_level)
    return create_app(settings)


class _Supervisor(Multiprocess):
    """uvicorn's supervisor, which also forgets the gauges of a worker that died."""

    def keep_subprocess_alive(self) -> None:
        before = {process.pid for process in self.processes}
        super().keep_subprocess_alive()
        for pid in before - {process.pid for process in self.processes}:
            mark_process_dead(pid)  # type: ignore[no-untyped-call]


def _serve_with_workers(settings: Settings, listener: socket.socket) -> None:
    folder = Path(tempfile.mkdtemp(prefix="inference-metrics-"))
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    try:
        _Supervisor(_configuration(settings, create_worker_app), [listener]).run()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
