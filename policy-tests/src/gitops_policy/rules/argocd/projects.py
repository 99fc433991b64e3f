"""AppProjects: exact, and in agreement with what their Applications render."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.applications import (
    PROJECT,
    local_paths,
    project_of,
    sources,
    synced,
)
from gitops_policy.argo.generated_applications import APPLICATIONS, also_of_sets
from gitops_policy.argo.project_scope import (
    is_comparable,
    permits_destination,
    permits_source,
    refusal,
)
from gitops_policy.fields import entries, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.registry import rule
from gitops_policy.world import World

_DOCS = "https://argo-cd.readthedocs.io/en/stable/user-guide/projects/"
_LISTS = ("clusterResourceWhitelist", "namespaceResourceWhitelist")


@rule(
    id="no-default-project",
    title="An Application is not in project default",
    severity="error",
    rationale="The default project allows every repository, cluster and kind.",
    references=[_DOCS + "#the-default-project"],
    kinds=APPLICATIONS,
    known_as=["kyverno:application-prevent-default-project"],
)
@also_of_sets
def no_default_project(application: Resource) -> Iterator[Problem]:
    """spec.project is set, and not `default`."""
    if text(application.spec, "project") in ("", "default"):
        yield application.problem(
            ("spec", "project"), "it is in the default project", "use a project of its own"
        )


@rule(
    id="project-exists",
    title="An Application's project exists",
    severity="error",
    rationale="An Application of a missing project is never synced.",
    references=[_DOCS],
    kinds=APPLICATIONS,
    needs_whole=True,
)
@also_of_sets
def project_exists(application: Resource, world: World) -> Iterator[Problem]:
    """The build holds an AppProject of that name."""
    name = text(application.spec, "project")
    if name not in ("", "default") and project_of(application, world) is None:
        yield application.problem(
            ("spec", "project"), f"there is no AppProject {name!r}", "add it to argocd/projects"
        )


@rule(
    id="project-without-wildcards",
    title="An AppProject lists repositories, namespaces and kinds",
    severity="error",
    rationale="A project with wildcards is the default project under another name.",
    references=[_DOCS],
    kinds=[PROJECT],
)
def project_without_wildcards(project: Resource) -> Iterator[Problem]:
    """No `*` alone in sourceRepos, destinations and lists of kinds."""
    fix = "list what it needs, exactly"
    for i, repository in enumerate(sequence(project.spec, "sourceRepos")):
        if "*" in str(repository):
            yield project.problem(("spec", "sourceRepos", i), "any repository", fix)
    for i, destination in entries(project.spec, "destinations"):
        for name in ("namespace", "server", "name"):
            if "*" in text(destination, name):
                yield project.problem(("spec", "destinations", i, name), f"any {name}", fix)
    for name in _LISTS:
        for i, item in entries(project.spec, name):
            for key in ("group", "kind"):
                if "*" in text(item, key):
                    yield project.problem(("spec", name, i, key), f"any {key}", fix)


@rule(
    id="project-lists-kinds",
    title="An AppProject lists the kinds it allows",
    severity="warning",
    rationale="Without a list a project allows every namespaced kind, Roles and Secrets too.",
    references=[_DOCS],
    kinds=[PROJECT],
)
def project_lists_kinds(project: Resource) -> Iterator[Problem]:
    """namespaceResourceWhitelist is there, even if it is empty."""
    if "namespaceResourceWhitelist" not in project.spec:
        yield project.problem(
            ("spec",), "every namespaced kind is allowed", "add namespaceResourceWhitelist"
        )


@rule(
    id="project-allows-source",
    title="An Application's source and destination are inside its project",
    severity="error",
    rationale="Argo CD refuses the sync: the release is merged and never delivered.",
    references=[_DOCS],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:project-scope-violation"],
)
@also_of_sets
def project_allows_source(application: Resource, world: World) -> Iterator[Problem]:
    """sourceRepos holds each repository, destinations the server and namespace."""
    project = project_of(application, world)
    if project is None:
        return
    for path, source in sources(application):
        if not permits_source(project, text(source, "repoURL")):
            yield application.problem(
                (*path, "repoURL"),
                f"AppProject {project.name!r} does not allow {text(source, 'repoURL')}",
                "add it to sourceRepos",
            )
    destination = mapping(application.spec, "destination")
    permitted = permits_destination(project, destination, text(destination, "namespace"))
    if is_comparable(project, destination) and not permitted:
        yield application.problem(
            ("spec", "destination"),
            f"AppProject {project.name!r} does not allow this destination",
            "add server and namespace to destinations",
        )


@rule(
    id="project-allows-render",
    title="An AppProject allows every rendered kind and namespace",
    severity="error",
    rationale="One kind that is not listed makes the whole sync fail, after the merge.",
    references=[_DOCS],
    kinds=APPLICATIONS,
)
@also_of_sets
def project_allows_render(application: Resource, world: World) -> Iterator[Problem]:
    """Each object that the Application renders is inside its project's lists."""
    project = project_of(application, world)
    if project is None:
        return
    destination = mapping(application.spec, "destination")
    paths = local_paths(application, world)
    seen = set()
    for _, index in synced(application, world):
        for resource in index.resources:
            message = refusal(project, destination, resource)
            if message and message not in seen:
                seen.add(message)
                yield application.problem(
                    ("spec", "project"),
                    f"AppProject {project.name!r} refuses {resource.id}"
                    f" of {paths[0][1]}: {message}",
                    "add it to the project, or move the object to another Application",
                )
