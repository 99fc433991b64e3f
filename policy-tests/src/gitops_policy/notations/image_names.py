"""Reading image references: registry, path, tag and digest."""

from __future__ import annotations

import re
from dataclasses import dataclass

# The grammar of github.com/distribution/reference, without the parts no runtime pulls by.
_LABEL = r"(?:[a-zA-Z0-9]|[a-zA-Z0-9][a-zA-Z0-9-]*[a-zA-Z0-9])"
_REGISTRY = re.compile(rf"(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9a-fA-F:]+\])(?::[0-9]+)?")
_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_PATH = re.compile(rf"{_COMPONENT}(?:/{_COMPONENT})*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_LONGEST_NAME = 255


@dataclass(frozen=True, slots=True)
class ImageName:
    """The parts of an image reference; `tag` and `digest` are empty when missing."""

    registry: str
    path: str
    tag: str
    digest: str

    @property
    def repository(self) -> str:
        """Registry and path, as a registry allow-list names them."""
        return f"{self.registry}/{self.path}"

    @property
    def pinned(self) -> bool:
        """Whether the digest is a complete sha256 or sha512."""
        return bool(self.path) and _DIGEST.fullmatch(self.digest) is not None

    @property
    def latest(self) -> bool:
        """Whether neither digest nor tag says which version: no tag is the tag latest."""
        return not self.digest and self.tag.lower() in ("", "latest")


def image_name(reference: str) -> ImageName:
    """Read a reference as container runtimes do: no host in it means Docker Hub."""
    name, _, digest = reference.partition("@")
    first, slash, rest = name.partition("/")
    if slash and _is_host(first):
        registry, remainder = first, rest
    else:
        registry, remainder = "docker.io", name
    path, _, tag = remainder.partition(":")
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return ImageName(registry, path, tag, digest)


def _is_host(first: str) -> bool:
    return first == "localhost" or first != first.lower() or "." in first or ":" in first


def comes_from(image: ImageName, place: str) -> bool:
    """Say whether an image is of a registry or below a path; no host means Docker Hub there too."""
    place = place.rstrip("/")
    hosted = _is_host(place.partition("/")[0])
    places = (place,) if hosted else (f"docker.io/{place}", f"docker.io/library/{place}")
    return any(f"{image.repository}/".startswith(f"{prefix}/") for prefix in places)


def malformed(reference: str) -> str:
    """Say why no runtime pulls this reference; empty where it is well-formed."""
    image = image_name(reference)
    name, at, _ = reference.partition("@")
    last = name.rpartition("/")[2]
    if not _REGISTRY.fullmatch(image.registry):
        return f"{image.registry!r} is no registry"
    if not _PATH.fullmatch(image.path) or len(image.repository) > _LONGEST_NAME:
        return f"{image.path!r} is no repository name (lower-case letters, digits, separators)"
    if ":" in last and not _TAG.fullmatch(image.tag):
        return f"{image.tag!r} is no tag"
    if at and not image.pinned:
        return f"{image.digest!r} is no digest"
    return ""
