"""One image, one version: what is tested, migrated and served is the same."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.apis.kinds import LONG_RUNNING
from gitops_policy.fields import sequence, text
from gitops_policy.findings import Severity
from gitops_policy.model import Problem
from gitops_policy.notations.image_names import image_name
from gitops_policy.pods import Container
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World


@rule(
    id="image-versions-agree",
    title="One image has one version in a render",
    severity="error",
    rationale="A gate or migration of another version than the one released proves nothing of it.",
    references=["https://kubernetes.io/docs/concepts/containers/images/"],
    kinds=BUILD,
)
def image_versions_agree(world: World) -> Iterator[Problem]:
    """Within a namespace, an analysis, hook or Job runs an image as the workload beside it does.

    It is a warning for an image that no workload serves with, such as that of a tool.
    """
    first: dict[tuple[str, str], Container] = {}
    # An Experiment runs another version on purpose.
    compared = (c for c in world.containers if c.resource.group_kind != "argoproj.io/Experiment")
    served = sorted(compared, key=lambda c: not _serves(c))
    for container in served:
        image = image_name(text(container.spec, "image"))
        place = (container.resource.namespace, image.repository)
        other = first.setdefault(place, container) if image.path else container
        known = image_name(text(other.spec, "image"))
        apart = world.apart(other.resource, container.resource)
        if apart or (known.digest, known.tag) == (image.digest, image.tag):
            continue
        same = bool(image.digest) and known.digest == image.digest
        if not same:
            yield container.problem(
                ("image",),
                f"{other.resource.kind} {other.resource.name!r} runs"
                f" {known.digest or known.tag or 'latest'} of this image",
                "let one images: entry of the kustomization set both",
                severity=None
                if _is_released(other) and not _serves(container)
                else Severity.warning,
            )


def _serves(container: Container) -> bool:
    return container.resource.group_kind in LONG_RUNNING


def _is_released(container: Container) -> bool:
    return _serves(container) and bool(sequence(container.spec, "ports"))
