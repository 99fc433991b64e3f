"""The keys that tokens are verified with: from a JWKS file or URL, or a shared secret."""

import ipaddress
import logging
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

import httpx
import orjson
from jwt import PyJWK
from jwt.exceptions import PyJWTError

from inference_server.security.watched import KeyFileError

_MAX_BYTES = 256 * 1024
_MAX_KEYS = 64
_FETCH_SECONDS = 10.0
_RETRY_SECONDS = 15.0
_REFRESH_SECONDS = 300.0
_MISSED_SECONDS = 10.0  # at most one fetch in this time for tokens whose key is unknown
_SECRET_BYTES = 32  # RFC 7518, section 3.2, for HS256
_RSA = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")
_CURVES = {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "Ed25519": "EdDSA"}

_log = logging.getLogger(__name__)


class VerificationKey(NamedTuple):
    """One key and the algorithms that it may be used with: nothing else is tried with it."""

    id: str | None
    algorithms: frozenset[str]
    key: Any


Keys = tuple[VerificationKey, ...]


class KeySource(Protocol):
    """Where verification keys come from."""

    @property
    def value(self) -> Keys:
        """The keys now."""

    def refresh(self, forced: bool) -> None:
        """Look for new keys where it is time; blocks, and keeps the old ones on failure."""


class JwksUrl:
    """Keys at a URL: fetched now and then, and soon after a token named a key not among them."""

    def __init__(self, url: str, clock: Callable[[], float] = time.monotonic) -> None:
        """Raises KeyFileError where the URL is neither https nor on this machine."""
        if not _is_safe(url):
            raise KeyFileError("JWT_JWKS: only https, or http from this machine")
        self.value: Keys = ()
        self._url = url
        self._clock = clock
        self._next = clock()
        self._next_missed = clock()
        self._missed = False

    def missed(self) -> None:
        """Say that a token named a key that is not known."""
        self._missed = True

    def refresh(self, forced: bool) -> None:
        """Fetch where it is time."""
        now = self._clock()
        wanted = self._missed and now >= self._next_missed
        if not (forced or wanted or now >= self._next):
            return
        if wanted:
            self._missed = False
            self._next_missed = now + _MISSED_SECONDS
        try:
            keys = parse_jwks(fetch(self._url))
        except (httpx.HTTPError, KeyFileError) as error:
            self._next = now + _RETRY_SECONDS
            reason = str(error) if isinstance(error, KeyFileError) else type(error).__name__
            _log.error("JWKS not fetched", extra={"reason": reason})
            return
        self._next = now + _REFRESH_SECONDS
        if keys != self.value:
            self.value = keys
            _log.info("JWKS replaced", extra={"reason": f"{len(keys)} keys"})


def fetch(url: str) -> bytes:
    """The document at the URL, at most 256 KiB, within 10 seconds, without following redirects.

    Raises httpx.HTTPError or KeyFileError.
    """
    deadline = time.monotonic() + _FETCH_SECONDS
    content = bytearray()
    with httpx.Client(timeout=_FETCH_SECONDS / 2) as client, client.stream("GET", url) as answer:
        if answer.status_code != 200:
            raise KeyFileError(f"JWKS: HTTP status {answer.status_code}")
        for part in answer.iter_raw():
            content += part
            if len(content) > _MAX_BYTES or time.monotonic() > deadline:
                raise KeyFileError("JWKS: larger than 256 KiB, or slower than 10 s")
    return bytes(content)


def read_jwks(path: Path) -> Keys:
    """The keys in a JWKS file; raises KeyFileError."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise KeyFileError(f"{path}: larger than 256 KiB")
        content = path.read_bytes()
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read ({type(error).__name__})") from None
    return parse_jwks(content)


def read_secret(path: Path) -> Keys:
    """The secret in a file, for the HS algorithms only; raises KeyFileError."""
    try:
        secret = path.read_bytes().strip()
    except OSError as error:
        raise KeyFileError(f"{path}: cannot be read ({type(error).__name__})") from None
    if len(secret) < _SECRET_BYTES:
        raise KeyFileError(f"{path}: a secret of {_SECRET_BYTES} bytes or more is needed")
    return (VerificationKey(None, frozenset({"HS256", "HS384", "HS512"}), secret),)


def parse_jwks(content: bytes) -> Keys:
    """The public signature keys of a JWKS (RFC 7517); raises KeyFileError where there is none.

    Symmetric keys are left out: a secret that is published is none.
    """
    try:
        document = orjson.loads(content)
        entries = document["keys"]
        if not isinstance(entries, list):
            raise TypeError
    except (orjson.JSONDecodeError, KeyError, TypeError):
        raise KeyFileError("JWKS: no JSON object with a list of keys") from None
    keys = tuple(_usable(entries[:_MAX_KEYS]))
    if not keys:
        raise KeyFileError("JWKS: no key for signatures in it")
    return keys


def _usable(entries: Iterable[Any]) -> Iterable[VerificationKey]:
    for entry in entries:
        if not isinstance(entry, dict) or entry.get("use", "sig") != "sig":
            continue
        algorithms = _algorithms(entry)
        name = entry.get("kid")
        if not algorithms or not (name is None or isinstance(name, str)):
            continue
        try:
            key = PyJWK(entry, algorithm=min(algorithms)).key
        except (PyJWTError, ValueError, TypeError, KeyError):
            _log.warning("a key of the JWKS cannot be used")
            continue
        if not hasattr(key, "private_numbers") and not hasattr(key, "private_bytes"):
            yield VerificationKey(name, algorithms, key)


def _algorithms(entry: dict[str, Any]) -> frozenset[str]:
    """What a key of this kind can verify; its own `alg`, where it has one, narrows that."""
    kind = entry.get("kty")
    if kind == "RSA":
        possible = frozenset(_RSA)
    elif kind in ("EC", "OKP") and entry.get("crv") in _CURVES:
        possible = frozenset({_CURVES[entry["crv"]]})
    else:
        return frozenset()
    own = entry.get("alg")
    return possible if own is None else possible & {own} if isinstance(own, str) else frozenset()


def _is_safe(url: str) -> bool:
    parts = urlsplit(url)
    if parts.scheme == "https":
        return True
    host = parts.hostname or ""
    if host == "localhost":
        return parts.scheme == "http"
    try:
        return parts.scheme == "http" and ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
