"""What comes from other people's repositories comes in one version."""

from __future__ import annotations

import re
from collections.abc import Iterator

from gitops_policy.argo.applications import own_repositories, sources
from gitops_policy.argo.generated_applications import APPLICATIONS, also_of_sets
from gitops_policy.fields import text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_TRACKING = "https://argo-cd.readthedocs.io/en/stable/user-guide/tracking_strategies/"
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_VERSION = re.compile(r"(?:[\w.-]*[-/@])?v?\d+(?:\.\d+)*(?:[-+.][\w.+-]*)?", re.ASCII)
_EXACT = re.compile(r"v?\d+\.\d+\.\d+(?:[-+][\w.+-]+)?", re.ASCII)


@rule(
    id="foreign-source-pinned",
    title="A source of somebody else has one version",
    severity="warning",
    rationale="A branch, HEAD or a range is synced as soon as its owner changes it, unseen.",
    references=[_TRACKING],
    kinds=APPLICATIONS,
    known_as="argocd-source-lint:floating-revision",
)
@also_of_sets
def foreign_source_pinned(application: Resource, world: World) -> Iterator[Problem]:
    """A chart has an exact version; another repository is read at a tag or a commit."""
    own = own_repositories(world) if world.workspace else set()
    for path, source in sources(application):
        chart, url = text(source, "chart"), text(source, "repoURL")
        revision = text(source, "targetRevision")
        packed = bool(chart) or url.startswith("oci:")
        if not url or (not packed and (url in own or world.workspace is None)):
            continue
        if _EXACT.fullmatch(revision) or (not packed and _is_tag_or_commit(revision)):
            continue
        yield application.problem(
            (*path, "targetRevision"),
            f"{revision or 'no revision'} of {chart or url} changes without a commit here",
            "name a version" if packed else "name a tag or a commit",
        )


def _is_tag_or_commit(revision: str) -> bool:
    return bool(_COMMIT.fullmatch(revision) or _VERSION.fullmatch(revision))
