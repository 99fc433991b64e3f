"""Where a model's bytes come from: files, HTTP, object stores."""

import os
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx

from inference_server.fetch.outcome import (
    MISUSE,
    NOT_FOUND,
    UNREACHABLE,
    FetchError,
    TemporaryError,
)
from inference_server.fetch.request import shown
from inference_server.models.naming import MODEL_FILE

_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
_TIMEOUT = httpx.Timeout(30, connect=5)


def read(uri: str) -> Iterator[bytes]:
    """The bytes behind a file:, http(s): or s3: URI; raises FetchError."""
    scheme = urlsplit(uri).scheme
    if scheme in ("", "file"):
        return read_file(uri)
    if scheme in ("http", "https"):
        return read_http(uri)
    if scheme == "s3":
        return read_object(uri)
    raise FetchError(MISUSE, f"{shown(uri)}: no way to read {scheme}: URIs")


def read_file(uri: str) -> Iterator[bytes]:
    """A local file, or `model.onnx` in a local folder."""
    parts = urlsplit(uri)
    if parts.netloc not in ("", "localhost"):
        raise FetchError(MISUSE, f"{shown(uri)}: a file: URI of another machine")
    path = Path(unquote(parts.path))
    if path.is_dir():
        path /= MODEL_FILE
    try:
        with path.open("rb") as file:
            while chunk := file.read(2**20):
                yield chunk
    except FileNotFoundError:
        raise FetchError(NOT_FOUND, f"{path} does not exist") from None
    except OSError as error:
        raise FetchError(UNREACHABLE, f"{path}: {error.strerror}") from None


def read_http(uri: str, headers: dict[str, str] | None = None) -> Iterator[bytes]:
    """A download; plain http: only from this machine, because anyone between could read along."""
    parts = urlsplit(uri)
    if parts.scheme == "http" and parts.hostname not in _LOOPBACK:
        raise FetchError(MISUSE, f"{shown(uri)}: plain http; use https")
    yield from download(uri, headers)


def download(uri: str, headers: dict[str, str] | None = None) -> Iterator[bytes]:
    """GET, a few redirects followed; raises FetchError or TemporaryError."""
    try:
        with (
            httpx.Client(timeout=_TIMEOUT, follow_redirects=True, max_redirects=5) as client,
            client.stream("GET", uri, headers=headers) as response,
        ):
            check_status(uri, response.status_code)
            yield from response.iter_bytes()
    except httpx.InvalidURL as error:
        raise FetchError(MISUSE, f"{shown(uri)}: {error}") from None
    except httpx.HTTPError as error:
        raise TemporaryError(f"{shown(uri)}: {type(error).__name__}") from None


def check_status(uri: str, status: int) -> None:
    """Turn an HTTP status into an outcome; 200 is the only good one."""
    if status == 200:
        return
    if status in (404, 410):
        raise FetchError(NOT_FOUND, f"{shown(uri)}: not found (HTTP {status})")
    if status in (408, 425, 429) or status >= 500:
        raise TemporaryError(f"{shown(uri)}: HTTP {status}")
    raise FetchError(UNREACHABLE, f"{shown(uri)}: refused (HTTP {status})")


def read_object(uri: str) -> Iterator[bytes]:
    """An object of an S3 store; endpoint and credentials come from the AWS_* environment."""
    import obstore
    from obstore.exceptions import BaseError, PermissionDeniedError, UnauthenticatedError
    from obstore.store import S3Store

    parts = urlsplit(uri)
    key = parts.path.lstrip("/")
    if not parts.netloc or not key:
        raise FetchError(MISUSE, f"{shown(uri)}: expected s3://bucket/key")
    try:
        store = S3Store(
            parts.netloc,
            client_options={
                "connect_timeout": timedelta(seconds=5),
                "timeout": timedelta(seconds=300),
                "allow_http": os.environ.get("AWS_ALLOW_HTTP", "").lower() == "true",
            },
            retry_config={"max_retries": 0},
        )
        for chunk in obstore.get(store, key).stream(min_chunk_size=2**20):
            yield bytes(chunk)
    except FileNotFoundError:
        raise FetchError(NOT_FOUND, f"{shown(uri)}: not found") from None
    except (PermissionDeniedError, UnauthenticatedError):
        raise FetchError(UNREACHABLE, f"{shown(uri)}: access denied") from None
    except BaseError as error:
        raise TemporaryError(f"{shown(uri)}: {type(error).__name__}") from None
