"""What is asked for: read from options and environment, refused before any byte moves."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from inference_server.fetch.outcome import MISUSE, FetchError
from inference_server.models.naming import NAME, VERSION

_MODELS_URI = re.compile(r"models:/(?P<name>[^/@]+)/(?P<version>[^/@]+)")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_SCHEMES = ("models", "s3", "https", "http", "file")


@dataclass(frozen=True)
class Limits:
    """Bounds of one fetch: bytes, seconds over all attempts, and attempts after the first."""

    max_bytes: int
    seconds: float
    retries: int


@dataclass(frozen=True)
class FetchRequest:
    """A model version, where it comes from, what it must be and where it goes."""

    uri: str
    sha256: str
    repository: Path
    name: str
    version: int
    limits: Limits


def make_request(values: Mapping[str, str | None], limits: Limits) -> FetchRequest:
    """Check what was asked for; raises FetchError (misuse) that names the value."""
    uri, sha256 = _required(values, "uri"), _required(values, "sha256").lower()
    if not _SHA256.fullmatch(sha256):
        raise _misuse(f"--sha256 (MODEL_SHA256): {len(sha256)} characters, expected 64 hex digits")
    name, version = _identity(uri, values.get("name"), values.get("version"))
    repository = Path(_required(values, "repository"))
    return FetchRequest(uri, sha256, repository, name, version, limits)


def shown(uri: str) -> str:
    """The URI without user, password, query and fragment, for messages."""
    parts = urlsplit(uri)
    host = parts.netloc.rpartition("@")[2]
    return f"{parts.scheme}:{'//' + host if host else ''}{parts.path}"


def _identity(uri: str, name: str | None, version: str | None) -> tuple[str, int]:
    scheme = urlsplit(uri).scheme
    if scheme == "oci":
        raise _misuse("oci: is not supported yet; use models:, s3:, https: or file:")
    if scheme not in _SCHEMES:
        raise _misuse(f"--uri (MODEL_URI): {shown(uri)!r} is none of {', '.join(_SCHEMES)}")
    if scheme == "models":
        name, version = _from_models_uri(uri, name, version)
    if not name or not version:
        raise _misuse("--name (MODEL_NAME) and --version (MODEL_VERSION) are missing")
    if not NAME.fullmatch(name):
        raise _misuse(f"--name (MODEL_NAME): {name[:80]!r} is no model name")
    if not VERSION.fullmatch(version):
        raise _misuse(f"--version (MODEL_VERSION): {version[:80]!r} is no positive integer")
    return name, int(version)


def _from_models_uri(uri: str, name: str | None, version: str | None) -> tuple[str, str]:
    match = _MODELS_URI.fullmatch(uri)
    if match is None or not VERSION.fullmatch(match["version"]):
        raise _misuse(
            f"--uri (MODEL_URI): {shown(uri)!r} does not name an integer version, as in "
            "models:/name/12; an alias or a stage can change under a running release"
        )
    for option, given, said in (
        ("MODEL_NAME", name, match["name"]),
        ("MODEL_VERSION", version, match["version"]),
    ):
        if given and given != said:
            raise _misuse(f"{option} is {given[:80]!r}, but MODEL_URI says {said!r}")
    return match["name"], match["version"]


def _required(values: Mapping[str, str | None], key: str) -> str:
    value = values.get(key)
    if not value:
        raise _misuse(f"--{key} ({ENVIRONMENT[key]}) is missing")
    return value


def _misuse(message: str) -> FetchError:
    return FetchError(MISUSE, message)


ENVIRONMENT = {
    "uri": "MODEL_URI",
    "sha256": "MODEL_SHA256",
    "repository": "MODEL_REPOSITORY",
    "name": "MODEL_NAME",
    "version": "MODEL_VERSION",
}
