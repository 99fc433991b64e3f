"""API keys: only their SHA-256 is known here, and comparing takes the same time for all."""

import hashlib
import hmac
import re
from pathlib import Path

_HASH = re.compile(r"[0-9a-f]{64}")


class KeyFileError(Exception):
    """A file of key hashes that cannot be used; the message names the place."""


class KeyRing:
    """The clients that may ask."""

    def __init__(self, hashes: dict[str, str]) -> None:
        self._hashes = [(client, bytes.fromhex(digest)) for client, digest in hashes.items()]

    def client(self, key: bytes) -> str | None:
        """The client that owns this key, or None."""
        digest = hashlib.sha256(key).digest()
        found = None
        for client, expected in self._hashes:
            if hmac.compare_digest(digest, expected):
                found = client
        return found


def read_keys(path: Path) -> KeyRing:
    """Keys from `client:sha256` lines, or from a folder with one file per client.

    Raises KeyFileError that names the line, never the content.
    """
    hashes: dict[str, str] = {}
    for where, client, digest in _pairs(path):
        if not client or not _HASH.fullmatch(digest):
            raise KeyFileError(f"{where}: expected a client and the SHA-256 of its key in hex")
        hashes[client] = digest
    if not hashes:
        raise KeyFileError(f"{path}: no API key in it")
    return KeyRing(hashes)


def _pairs(path: Path) -> list[tuple[str, str, str]]:
    try:
        if path.is_dir():
            files = [file for file in sorted(path.iterdir()) if not file.name.startswith("..")]
            return [(str(file), file.name, file.read_text().strip().lower()) for file in files]
        lines = path.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise KeyFileError(f"{path}: cannot be read ({type(error).__name__})") from None
    pairs = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            client, _, digest = line.strip().rpartition(":")
            pairs.append((f"{path}:{number}", client, digest.lower()))
    return pairs
