"""apiVersions that go: known from the projects' own tables, whatever schemas are installed."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.apis.api_versions import lifecycle, reached
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.served import is_removed
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import EVERY, rule
from gitops_policy.world import World


@rule(
    id="deprecated-api",
    title="The apiVersion is not one that goes",
    severity="warning",
    rationale="What is deprecated today is refused after an upgrade, when nobody thinks of it.",
    references=[
        "https://kubernetes.io/docs/reference/using-api/deprecation-guide/",
        "https://kubernetes.io/docs/reference/using-api/deprecation-policy/",
    ],
    kinds=EVERY,
    known_as=(
        "kube-linter:no-extensions-v1beta kube-score:stable-version trivy:KSV-0107 datree:18 "
        "datree:19 datree:90 datree:91 datree:92 datree:93 datree:94 datree:106 datree:107 "
        "datree:108 datree:109 datree:110 datree:111 kyverno:check-deprecated-apis "
        "gatekeeper:verifydeprecatedapi"
    ),
)
def deprecated_api(resource: Resource, world: World) -> Iterator[Problem]:
    """It is neither deprecated nor, where no schema can say so, removed.

    Removed from Kubernetes is an error; which release of another project runs, nobody told.
    """
    life = lifecycle(resource.api_version, resource.kind)
    version = world.config.kubernetes_version
    if life is None or not reached(life.deprecated, version):
        return
    shown = f"{resource.api_version} {resource.kind}"
    fix = f"use {life.replacement}" if life.replacement else "nothing replaces it: do without"
    if not reached(life.removed, version):
        gone = f", gone in {life.removed}" if life.removed else ""
        message = f"{shown} is deprecated since {life.deprecated}{gone}"
        yield resource.problem(("apiVersion",), message, fix)
    elif not _known_from_schemas(resource, world):
        message = f"{shown} is gone since {life.removed}"
        ours = Severity.error if life.removed[0].isdigit() else None
        yield resource.problem(("apiVersion",), message, fix, severity=ours)


def _known_from_schemas(resource: Resource, world: World) -> bool:
    """Say whether schemas already tell: the rule removed-api found it, or a CRD still serves it."""
    if world.custom and world.custom.schema(resource.api_version, resource.kind):
        return True
    try:
        return is_removed(resource, world)
    except LookupError:
        return False
