"""Reading image references: registry, path, tag and digest."""

from __future__ import annotations

import re
from dataclasses import dataclass

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


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
        """Whether the digest is a complete sha256."""
        return bool(self.path) and _DIGEST.fullmatch(self.digest) is not None


def image_name(reference: str) -> ImageName:
    """Read a reference as container runtimes do: no host in it means Docker Hub."""
    name, _, digest = reference.partition("@")
    first, slash, rest = name.partition("/")
    if slash and ("." in first or ":" in first or first == "localhost"):
        registry, remainder = first, rest
    else:
        registry, remainder = "docker.io", name
    path, _, tag = remainder.partition(":")
    if registry == "docker.io" and "/" not in path:
        path = f"library/{path}"
    return ImageName(registry, path, tag, digest)
