"""Images: what runs must be named by content, from a registry that is allowed."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.fields import text
from gitops_policy.findings import Severity
from gitops_policy.model import Problem
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.world import World

_DIGEST = re.compile(r"[^@\s]+@sha256:[0-9a-f]{64}")


@rule(
    id="image-digest",
    title="Images are pinned by digest",
    severity="warning",
    rationale="A tag can be moved; a digest names the bytes that were tested and signed.",
    references=["https://kubernetes.io/docs/concepts/containers/images/#image-names"],
    kinds=CONTAINERS,
    known_as=(
        "checkov:CKV_K8S_43 kubescape:C-0306 datree:CONTAINERS_MISSING_IMAGE_VALUE_DIGEST "
        "kyverno:require-image-checksum gatekeeper:k8simagedigests"
    ),
)
def image_digest(container: Container, world: World) -> Iterator[Problem]:
    """Every image ends in `@sha256:` and 64 hexadecimal digits."""
    image = text(container.spec, "image")
    if not _DIGEST.fullmatch(image):
        strict = world.environment == "production"
        yield container.problem(
            ("image",),
            f"image {image!r} is not pinned by a well-formed sha256 digest",
            "write name@sha256:<64 hex digits> in the overlay's images:",
            severity=Severity.error if strict else None,
        )
