"""API keys: only their SHA-256 is known here, and a look-up takes the same time for all.

A plain SHA-256 is enough: a key is 256 random bits, which nobody can guess, so there is nothing
that a slow hash (for passwords) could make harder; it would cost each request milliseconds.
"""

import hashlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from inference_server.security.client import DEFAULT_SCOPES, SCOPES, UNLIMITED, Client, Rate
from inference_server.security.watched import KeyFileError

__all__ = ["KeyFileError", "KeyRing", "read_keys"]

_HASH = re.compile(r"[0-9a-f]{64}")
_CLIENT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@/-]{0,127}")
_NUMBER = re.compile(r"[1-9][0-9]{0,8}")
_FIELDS = frozenset({"scopes", "models", "rate", "burst"})


class KeyRing:
    """The clients that may ask, by the hashes of their keys."""

    def __init__(self, keys: Iterable[tuple[bytes, Client]]) -> None:
        self._secret = os.urandom(32)
        self._clients = {self._blind(digest): client for digest, client in keys}

    def owner(self, key: bytes) -> Client | None:
        """The client that owns this key, or None.

        Hashing the digest again with a secret of this process leaves nothing to be learnt from
        how long the comparison takes, and the time is the same for one key and for thousands.
        """
        return self._clients.get(self._blind(hashlib.sha256(key).digest()))

    def _blind(self, digest: bytes) -> bytes:
        return hashlib.blake2b(digest, digest_size=32, key=self._secret).digest()


def read_keys(path: Path) -> KeyRing:
    """Keys from lines `client:sha256[:scopes=S,..][:models=M,..][:rate=N][:burst=N]`.

    In a folder each file is one client and its lines start with the hash. A client may have
    several keys. Raises KeyFileError that names the line, never the content.
    """
    owners: dict[bytes, Client] = {}
    rates: dict[str, Rate | None] = {}
    for where, name, words in _lines(path):
        try:
            digest, client = _parse(name, words)
            if digest in owners:
                raise ValueError("this key stands there twice")
            if rates.setdefault(client.id, client.rate) != client.rate:
                raise ValueError("the keys of one client have one rate")
        except ValueError as error:
            raise KeyFileError(f"{where}: {error}") from None
        owners[digest] = client
    if not owners:
        raise KeyFileError(f"{path}: no API key in it")
    return KeyRing(owners.items())


def _lines(path: Path) -> Iterator[tuple[str, str, list[str]]]:
    """The place of each line, its client and the words after that."""
    try:
        if path.is_dir():
            # `..data` and the like are how Kubernetes swaps the files of a Secret at once
            files = [file for file in sorted(path.iterdir()) if not file.name.startswith(".")]
            texts = [(str(file), [file.name], file.read_text()) for file in files]
        else:
            texts = [(str(path), [], path.read_text())]
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: cannot be read ({type(error).__name__})") from None
    for source, names, text in texts:
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip() and not line.lstrip().startswith("#"):
                name, *words = [*names, *line.strip().split(":")]
                yield f"{source}:{number}", name, words


def _parse(name: str, words: list[str]) -> tuple[bytes, Client]:
    """Raises ValueError that says what is wrong, without the content."""
    digest = words[0].lower() if words else ""
    if not _CLIENT.fullmatch(name) or not _HASH.fullmatch(digest):
        raise ValueError("expected a client and the SHA-256 of its key in hex")
    fields: dict[str, str] = {}
    for word in words[1:]:
        key, _, value = word.partition("=")
        if key not in _FIELDS or key in fields or not value:
            raise ValueError("after the hash only scopes=, models=, rate= and burst=, each once")
        fields[key] = value
    scopes = _names(fields["scopes"]) if "scopes" in fields else DEFAULT_SCOPES
    if not scopes <= SCOPES:
        raise ValueError(f"the scopes are {', '.join(sorted(SCOPES))}")
    models = _names(fields["models"]) if "models" in fields else None
    return bytes.fromhex(digest), Client(name, scopes, models, _rate(fields))


def _names(value: str) -> frozenset[str]:
    names = frozenset(name.strip() for name in value.split(","))
    if "" in names:
        raise ValueError("an empty name in a list")
    return names


def _rate(fields: dict[str, str]) -> Rate | None:
    rate, burst = fields.get("rate"), fields.get("burst")
    if rate is None and burst is None:
        return None
    if rate == "off" and burst is None:
        return UNLIMITED
    if rate is None or not _NUMBER.fullmatch(rate) or not _NUMBER.fullmatch(burst or rate):
        raise ValueError("rate= is requests a minute, or off; burst= stands beside a rate")
    return Rate(int(rate), int(burst or rate))
