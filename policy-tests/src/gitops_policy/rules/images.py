"""Images: what runs is named by content and comes from a registry that is allowed."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import field, text
from gitops_policy.findings import Severity
from gitops_policy.image_names import image_name
from gitops_policy.model import Problem
from gitops_policy.pods import Container, Pod
from gitops_policy.registry import PODS, rule
from gitops_policy.world import World

_IMAGES = "https://kubernetes.io/docs/concepts/containers/images/"


def _references(pod: Pod) -> Iterator[tuple[Pod | Container, tuple[str | int, ...], str]]:
    """Yield every image of a pod, those of image volumes too, with its place."""
    for container in pod.containers:
        yield container, ("image",), text(container.spec, "image")
    for i, volume in pod.volumes:
        if field(volume, "image") is not None:
            yield pod, ("volumes", i, "image", "reference"), text(volume, "image", "reference")


@rule(
    id="image-tag",
    title="Images have a tag other than latest, or a digest",
    severity="error",
    rationale="`latest` is another image tomorrow: nobody can say what ran, or go back to it.",
    references=[_IMAGES],
    kinds=PODS,
    known_as=(
        "kube-linter:latest-tag kube-score:container-image-tag polaris:tagNotSpecified "
        "checkov:CKV_K8S_14 trivy:KSV-0013 datree:1 kyverno:disallow-latest-tag "
        "gatekeeper:disallowedtags"
    ),
)
def image_tag(pod: Pod) -> Iterator[Problem]:
    """Every image without digest has a tag, and not `latest`."""
    for subject, path, reference in _references(pod):
        image = image_name(reference)
        if not image.digest and image.tag in ("", "latest"):
            yield subject.problem(
                path,
                f"image {reference!r} has {'the tag latest' if image.tag else 'no tag'}",
                "name the version, best by digest",
            )


@rule(
    id="image-digest",
    title="Images are pinned by a well-formed digest",
    severity="warning",
    rationale="A tag can be moved; a digest names the bytes that were tested and signed.",
    references=[_IMAGES],
    kinds=PODS,
    known_as=(
        "checkov:CKV_K8S_43 kubescape:C-0306 datree:23 kyverno:require-image-checksum "
        "gatekeeper:imagedigests"
    ),
)
def image_digest(pod: Pod, world: World) -> Iterator[Problem]:
    """Every image ends in `@sha256:` and 64 hexadecimal digits; an error in production."""
    strict = Severity.error if world.environment == "production" else None
    for subject, path, reference in _references(pod):
        if not image_name(reference).pinned:
            yield subject.problem(
                path,
                f"image {reference!r} is not pinned by a well-formed sha256 digest",
                "write name@sha256:<64 hex digits> in the overlay's images:",
                severity=strict,
            )


@rule(
    id="image-registry",
    title="Images come from an allowed registry",
    severity="error",
    rationale="Images from elsewhere were neither scanned nor signed by us, and can disappear.",
    references=[_IMAGES],
    kinds=PODS,
    known_as=(
        "kubescape:C-0001 kubescape:C-0078 trivy:KSV-0032 trivy:KSV-0033 trivy:KSV-0034 "
        "trivy:KSV-0035 trivy:KSV-0125 kyverno:restrict-image-registries "
        "gatekeeper:allowedrepos gatekeeper:disallowedrepos"
    ),
)
def image_registry(pod: Pod, world: World) -> Iterator[Problem]:
    """Every image's repository starts with one of the settings' registries, if there are any."""
    allowed = world.config.registries
    for subject, path, reference in _references(pod):
        repository = image_name(reference).repository
        if allowed and not any(f"{repository}/".startswith(f"{a.rstrip('/')}/") for a in allowed):
            yield subject.problem(
                path,
                f"image {reference!r} is not from {' or '.join(allowed)}",
                "mirror the image into an allowed registry",
            )
