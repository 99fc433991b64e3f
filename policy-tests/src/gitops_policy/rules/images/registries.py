"""Registries that images may not come from, or must come from."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import text
from gitops_policy.model import Problem
from gitops_policy.notations.image_names import comes_from, image_name
from gitops_policy.pods import Container
from gitops_policy.registry import CONTAINERS, rule
from gitops_policy.world import World

_IMAGES = "https://kubernetes.io/docs/concepts/containers/images/"
_PUBLIC = ("docker.io", "ghcr.io")
_DEMAND = "It demands one vendor's registry: of use by name only, in a repository on that cloud."


@rule(
    id="blocked-image-registry",
    title="No image comes from a blocked registry",
    severity="error",
    rationale="What the settings block was found unfit: without scans, or with limits on pulls.",
    references=[_IMAGES],
    kinds=CONTAINERS,
    known_as="kubescape:C-0001 gatekeeper:disallowedrepos",
)
def blocked_image_registry(container: Container, world: World) -> Iterator[Problem]:
    """No image's repository starts with one of the settings' blocked registries."""
    reference = text(container.spec, "image")
    image = image_name(reference)
    for registry in world.config.blocked_registries:
        if comes_from(image, registry):
            yield container.problem(
                ("image",), f"image {reference!r} is from {registry}", "mirror the image"
            )


@rule(
    id="public-image-registry",
    title="No image comes from Docker Hub or ghcr.io",
    severity="info",
    rationale="Anybody can publish there, and pulls are limited.",
    references=[_IMAGES],
    kinds=CONTAINERS,
    known_as="trivy:KSV-0034",
    default=False,
)
def public_image_registry(container: Container) -> Iterator[Problem]:
    """The registry of the image is neither docker.io, which is the default, nor ghcr.io."""
    reference = text(container.spec, "image")
    if _registry(container) in _PUBLIC:
        yield container.problem(
            ("image",), f"image {reference!r} is public", "mirror it into your own registry"
        )


@rule(
    id="azure-image-registry",
    title="Images come from Azure Container Registry",
    severity="info",
    rationale=_DEMAND,
    references=["https://learn.microsoft.com/azure/container-registry/"],
    kinds=CONTAINERS,
    known_as="trivy:KSV-0032",
    by_name_only=True,
)
def azure_image_registry(container: Container) -> Iterator[Problem]:
    """The registry of the image is `*.azurecr.io`."""
    yield from _not_from(container, "azurecr.io")


@rule(
    id="google-image-registry",
    title="Images come from Google Container Registry",
    severity="info",
    rationale=_DEMAND,
    references=["https://cloud.google.com/artifact-registry/docs"],
    kinds=CONTAINERS,
    known_as="trivy:KSV-0033",
    by_name_only=True,
)
def google_image_registry(container: Container) -> Iterator[Problem]:
    """The registry of the image is `gcr.io`, one of its regions, or `*.pkg.dev`."""
    yield from _not_from(container, "gcr.io", "pkg.dev")


@rule(
    id="amazon-image-registry",
    title="Images come from Amazon Elastic Container Registry",
    severity="info",
    rationale=_DEMAND,
    references=["https://docs.aws.amazon.com/general/latest/gr/ecr.html"],
    kinds=CONTAINERS,
    known_as="trivy:KSV-0035",
    by_name_only=True,
)
def amazon_image_registry(container: Container) -> Iterator[Problem]:
    """The registry of the image is a region's `*.ecr.REGION.amazonaws.com`."""
    registry = _registry(container)
    if not ("ecr." in registry and registry.endswith((".amazonaws.com", ".amazonaws.com.cn"))):
        yield container.problem(("image",), f"{registry} is not Amazon's", "mirror the image")


def _registry(container: Container) -> str:
    return image_name(text(container.spec, "image")).repository.partition("/")[0]


def _not_from(container: Container, *domains: str) -> Iterator[Problem]:
    registry = _registry(container)
    if not any(registry == domain or registry.endswith(f".{domain}") for domain in domains):
        yield container.problem(
            ("image",), f"{registry} is not {' or '.join(domains)}", "mirror the image"
        )
