"""Promises of Argo CD: what an Application syncs, from where, to where, in which order."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import sequence, text
from gitops_policy.model import Index

from mutants.mutation import GONE, Mutation, add, at, change, operator, remove

APPLICATION = "argoproj.io/Application"
PROJECT = "argoproj.io/AppProject"
ENVIRONMENTS = ("inference-dev", "inference-staging", "inference-production")
POLICY = ("spec", "syncPolicy")

# Projects.
change("any-source", "sources are named", at(PROJECT, "spec", "sourceRepos"), ["*"])
change(
    "any-namespace",
    "namespaces are named",
    at(PROJECT, "spec", "destinations", "*", "namespace"),
    "*",
)
change("any-cluster", "clusters are named", at(PROJECT, "spec", "destinations", "*", "server"), "*")
change(
    "any-cluster-resource",
    "cluster-scoped kinds are named",
    at(PROJECT, "spec", "clusterResourceWhitelist"),
    [{"group": "*", "kind": "*"}],
)
change(
    "any-namespaced-resource",
    "kinds are named",
    at(PROJECT, "spec", "namespaceResourceWhitelist"),
    [{"group": "*", "kind": "*"}],
)
change(
    "source-not-allowed",
    "a project allows its sources",
    at(PROJECT, "spec", "sourceRepos", 0),
    "https://github.com/example/other.git",
)
change(
    "namespace-not-allowed",
    "a project allows its namespaces",
    at(PROJECT, "spec", "destinations", 0, "namespace"),
    "other",
)
change(
    "cluster-not-allowed",
    "a project allows its cluster",
    at(PROJECT, "spec", "destinations", 0, "server"),
    "https://other.example.com",
)
change(
    "namespace-kind-not-allowed",
    "a project allows its Namespace",
    at(PROJECT, "spec", "clusterResourceWhitelist", 0, "name"),
    "other",
)
change(
    "default-project-open",
    "the default project allows nothing",
    at(PROJECT, "spec", "destinations", name="default"),
    [{"namespace": "*", "server": "*"}],
)


@operator("kind-not-allowed", "a project allows what its Applications render")
def kind_not_allowed(index: Index) -> Iterator[Mutation]:
    """Take one kind of an environment's project away."""
    where = at(PROJECT, "spec", "namespaceResourceWhitelist")
    for resource, path in where(index):
        kinds = sequence(resource.content, *path)
        for i, kind in enumerate(kinds if resource.name in ENVIRONMENTS else ()):
            rest = [*kinds[:i], *kinds[i + 1 :]]
            yield Mutation(resource, ((path, rest),), text(kind, "kind"))


remove("remove-project", "an Application has its project", PROJECT, *ENVIRONMENTS, "platform")

# Applications.
change(
    "default-project",
    "an Application has a project of its own",
    at(APPLICATION, "spec", "project"),
    "default",
)
change("missing-project", "the project exists", at(APPLICATION, "spec", "project"), "infrence")
change(
    "wrong-path",
    "the folder exists",
    at(APPLICATION, "spec", "source", "path"),
    lambda path: path + "-x" if path.startswith(("overlays", "apps")) else path,
)


@operator("moving-revision", "what is synced has a name")
def moving_revision(index: Index) -> Iterator[Mutation]:
    """Follow the newest version of what is pinned, or whatever there is in production."""
    for resource, path in at(APPLICATION, "spec", "source", "targetRevision")(index):
        pinned = text(resource.content, *path) != "main"
        if pinned or resource.name == "inference-production":
            for revision in ("*", "HEAD", GONE):
                yield Mutation(resource, ((path, revision),), str(revision))


change(
    "source-outside-project",
    "the source is one of the project's",
    at(APPLICATION, "spec", "source", "repoURL"),
    "https://github.com/example/x.git",
)
change(
    "namespace-outside-project",
    "the namespace is one of the project's",
    at(APPLICATION, "spec", "destination", "namespace"),
    "default",
)
change(
    "cluster-outside-project",
    "the cluster is one of the project's",
    at(APPLICATION, "spec", "destination", "server"),
    "https://other.example.com",
)
add(
    "destination-twice",
    "a destination is named one way",
    at(APPLICATION, "spec", "destination", "name"),
    "in-cluster",
)
change(
    "application-elsewhere",
    "Argo CD sees its Applications",
    at(APPLICATION, "metadata", "namespace"),
    "default",
)
change(
    "project-elsewhere",
    "Argo CD sees its projects",
    at(PROJECT, "metadata", "namespace"),
    "default",
)
remove("remove-application", "each overlay is synced", APPLICATION, *ENVIRONMENTS)


@operator("overlay-synced-twice", "each overlay is synced once")
def overlay_synced_twice(index: Index) -> Iterator[Mutation]:
    """Let staging sync the overlay of dev."""
    for resource, path in at(APPLICATION, "spec", "source", "path")(index):
        if resource.name == "inference-staging":
            yield Mutation(resource, ((path, "overlays/dev/inference"),))


# How they sync.
@operator("option-dropped", "a sync keeps what others own")
def option_dropped(index: Index) -> Iterator[Mutation]:
    """Take one sync option of an environment's Application away."""
    for resource, path in at(APPLICATION, *POLICY, "syncOptions")(index):
        options = sequence(resource.content, *path)
        for option in options if resource.name in ENVIRONMENTS else ():
            rest = [other for other in options if other != option]
            yield Mutation(resource, ((path, rest),), option.partition("=")[0])


change(
    "option-misspelled",
    "each sync option is one that Argo CD knows",
    at(APPLICATION, *POLICY, "syncOptions", 0),
    "ServerSideApplied=true",
    "ServerSideApply: true",
)


@operator("difference-not-ignored", "a sync leaves the controller's fields alone")
def difference_not_ignored(index: Index) -> Iterator[Mutation]:
    """Take one entry of ignoreDifferences away."""
    for resource, path in at(APPLICATION, "spec", "ignoreDifferences")(index):
        ignored = sequence(resource.content, *path)
        for i, entry in enumerate(ignored):
            # Git has no replicas: nothing differs, whether ignored or not.
            if text(entry, "kind") == "Rollout":
                continue
            rest = [*ignored[:i], *ignored[i + 1 :]]
            name = f"{text(entry, 'kind')}-{text(entry, 'name')}"
            yield Mutation(resource, ((path, rest),), name)


change(
    "differences-of-wrong-field",
    "a sync leaves the controller's fields alone",
    at(APPLICATION, "spec", "ignoreDifferences", 3, "jsonPointers"),
    ["/spec/other"],
    ["spec/replicas"],
)
change(
    "differences-of-wrong-object",
    "a sync leaves the controller's fields alone",
    at(APPLICATION, "spec", "ignoreDifferences", 3, "name"),
    "other",
)
change(
    "differences-of-everything",
    "a sync ignores only what others own",
    at(APPLICATION, "spec", "ignoreDifferences", 3, "jsonPointers"),
    ["/spec"],
)
add(
    "production-by-itself",
    "production is synced by a person",
    at(APPLICATION, *POLICY, "automated"),
    {"prune": True, "selfHeal": True},
)
change(
    "wave-unread",
    "waves are numbers",
    at(APPLICATION, "metadata", "annotations", "argocd.argoproj.io/sync-wave"),
    "first",
)


_OPERATORS = (
    "argo-rollouts",
    "cert-manager",
    "envoy-gateway",
    "external-secrets",
    "prometheus-operator",
)


@operator("operators-after-use", "operators come before what they operate")
def operators_after_use(index: Index) -> Iterator[Mutation]:
    """Sync what brings custom kinds after what uses them."""
    wave = ("metadata", "annotations", "argocd.argoproj.io/sync-wave")
    for resource, path in at(APPLICATION, *wave)(index):
        if resource.name in _OPERATORS:
            yield Mutation(resource, ((path, "20"),))


@operator("projects-after-use", "projects come before their Applications")
def projects_after_use(index: Index) -> Iterator[Mutation]:
    """Sync a project after its Applications."""
    wave = ("metadata", "annotations", "argocd.argoproj.io/sync-wave")
    for resource, path in at(PROJECT, *wave)(index):
        if resource.name == "default":  # no Application is in it
            continue
        yield Mutation(resource, ((path, "30"),))
