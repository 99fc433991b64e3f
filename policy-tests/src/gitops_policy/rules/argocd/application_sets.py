"""ApplicationSets: what they make can be known, and is something."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.application_sets import APPLICATION_SET, UnresolvedError, generated
from gitops_policy.argo.applications import own_repositories
from gitops_policy.fields import field, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_DOCS = "https://argo-cd.readthedocs.io/en/stable/operator-manual/applicationset/"


@rule(
    id="application-set-makes-something",
    title="An ApplicationSet makes at least one Application",
    severity="error",
    rationale="A pattern that matches no folder deletes every Application that the set had made.",
    references=[_DOCS, _DOCS + "Generators-Git/"],
    kinds=[APPLICATION_SET],
)
def application_set_makes_something(application_set: Resource, world: World) -> Iterator[Problem]:
    """The lists have elements, and the patterns match folders or files of the repository."""
    root = world.workspace.root if world.workspace else None
    try:
        made = generated(application_set, root, own_repositories(world))
    except UnresolvedError:
        return
    if not made:
        yield application_set.problem(
            ("spec", "generators"), "it makes no Application", "correct the list or the pattern"
        )


@rule(
    id="application-set-known",
    title="What an ApplicationSet makes can be seen in the repository",
    severity="info",
    rationale="What only a cluster or a registry decides, no review and no check can see.",
    references=[_DOCS + "Generators/"],
    kinds=[APPLICATION_SET],
    known_as=["argocd-source-lint:unresolvable-generator"],
)
def application_set_known(application_set: Resource, world: World) -> Iterator[Problem]:
    """Its generators are lists and patterns of this repository, with plain parameters."""
    root = world.workspace.root if world.workspace else None
    try:
        generated(application_set, root, own_repositories(world))
    except UnresolvedError as error:
        yield application_set.problem(
            ("spec", "generators"),
            f"what it makes is not known here: {error}",
            "check the Applications that it makes in the cluster",
        )


@rule(
    id="application-set-keeps-applications",
    title="An ApplicationSet that is deleted leaves its Applications' objects",
    severity="info",
    rationale="One deleted ApplicationSet deletes all its Applications and what they had applied.",
    references=[_DOCS + "Application-Deletion/"],
    kinds=[APPLICATION_SET],
    default=False,
)
def application_set_keeps_applications(application_set: Resource) -> Iterator[Problem]:
    """syncPolicy.preserveResourcesOnDeletion is true."""
    if field(application_set.spec, "syncPolicy", "preserveResourcesOnDeletion") is not True:
        yield application_set.problem(
            ("spec", "syncPolicy", "preserveResourcesOnDeletion"),
            "deleting it deletes what all its Applications applied",
            "set it to true",
        )


@rule(
    id="application-set-named-as-project",
    title="An ApplicationSet has the name of its project",
    severity="warning",
    rationale="Where each set is one team's, the name says whose the Applications are.",
    references=[_DOCS],
    kinds=[APPLICATION_SET],
    known_as=["kyverno:applicationset-name-matches-project"],
    default=False,
)
def application_set_named_as_project(application_set: Resource) -> Iterator[Problem]:
    """spec.template.spec.project equals metadata.name."""
    path = ("spec", "template", "spec", "project")
    if text(application_set.content, *path) != application_set.name:
        yield application_set.problem(path, "it is not the set's own name", "make them equal")
