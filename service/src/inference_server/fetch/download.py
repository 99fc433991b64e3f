"""Moves a model's bytes to their place: bounded, verified, all or nothing."""

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from inference_server.fetch import registry, sources
from inference_server.fetch.outcome import (
    CANNOT_WRITE,
    WRONG_HASH,
    FetchError,
    TemporaryError,
)
from inference_server.fetch.request import FetchRequest, Limits, shown
from inference_server.models.naming import MODEL_FILE


def fetch(request: FetchRequest, sleep: Callable[[float], None] = time.sleep) -> Path:
    """Bring the file to `<repository>/<name>/<version>/model.onnx`; raises FetchError.

    A file that is there already, with the right hash, is left alone.
    """
    target = request.repository / request.name / str(request.version) / MODEL_FILE
    try:
        if target.is_file() and _sha256(target) == request.sha256:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        try:
            _attempts(request, target, sleep)
        except FetchError:
            _remove_empty(target.parent, request.repository)
            raise
    except OSError as error:
        raise FetchError(CANNOT_WRITE, f"{error.filename or target}: {error.strerror}") from None
    return target


def _attempts(request: FetchRequest, target: Path, sleep: Callable[[float], None]) -> None:
    deadline = time.monotonic() + request.limits.seconds
    for attempt in range(request.limits.retries + 1):
        try:
            _download(request, target, deadline)
        except TemporaryError as error:
            pause = min(2.0**attempt, 30)
            late = time.monotonic() + pause > deadline
            if late or attempt == request.limits.retries:
                raise FetchError(error.status, f"{error}; tried {attempt + 1} times") from None
            sleep(pause)
        else:
            return


def _download(request: FetchRequest, target: Path, deadline: float) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{MODEL_FILE}.", dir=target.parent)
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            digest = hashlib.sha256()
            for chunk in _bounded(_open(request), request.limits, deadline):
                digest.update(chunk)
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        if digest.hexdigest() != request.sha256:
            raise FetchError(
                WRONG_HASH,
                f"{shown(request.uri)}: sha256 is {digest.hexdigest()}, "
                f"but MODEL_SHA256 says {request.sha256}",
            )
        temporary.chmod(0o644)  # the server may run as another user of the same group
        temporary.replace(target)
        _sync_folder(target.parent)
    finally:
        temporary.unlink(missing_ok=True)


def _open(request: FetchRequest) -> Iterator[bytes]:
    if request.uri.startswith("models:"):
        return registry.read_version(request.name, request.version)
    return sources.read(request.uri)


def _bounded(chunks: Iterator[bytes], limits: Limits, deadline: float) -> Iterator[bytes]:
    size = 0
    for chunk in chunks:
        size += len(chunk)
        if size > limits.max_bytes:
            raise FetchError(WRONG_HASH, f"the file is larger than {limits.max_bytes} bytes")
        if time.monotonic() > deadline:
            raise TemporaryError(f"not finished after {limits.seconds:g} s")
        yield chunk


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_empty(folder: Path, repository: Path) -> None:
    """A version folder without a model would be reported as a broken model."""
    while folder != repository:
        with contextlib.suppress(OSError):
            folder.rmdir()
        folder = folder.parent
