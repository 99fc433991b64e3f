"""The rules that custom kinds bring along in their CRDs."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.model import Problem, Resource
from gitops_policy.registry import EVERY, rule
from gitops_policy.world import World

_RULES = (
    "https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/"
    "custom-resource-definitions/#validation-rules"
)


@rule(
    id="crd-rules-hold",
    title="An object keeps the rules of its CRD",
    severity="error",
    rationale="The API server evaluates them: an object that breaks one stops the sync.",
    references=[_RULES],
    kinds=EVERY,
)
def crd_rules_hold(resource: Resource, world: World) -> Iterator[Problem]:
    """Each CEL rule of x-kubernetes-validations holds, after defaults are filled in.

    Rules that compare with the object before a change, or call what is not known here, are left
    to the API server.
    """
    definitions = world.custom
    schema = definitions.ruled(resource.api_version, resource.kind) if definitions else None
    if schema is None:
        return
    from gitops_policy.apis.schema_rules import broken, defaulted

    for path, message in broken(defaulted(resource.content, schema), schema):
        yield resource.problem(path, message, "see the rules of this kind's CRD")
