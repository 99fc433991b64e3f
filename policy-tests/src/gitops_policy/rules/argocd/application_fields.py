"""The fields of Applications and their kin: what Argo CD ignores silently, or refuses."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.argo.applications import APPLICATION, PROJECT, all_applications, options, sources
from gitops_policy.argo.generated_applications import APPLICATIONS, also_of_sets
from gitops_policy.fields import Path, entries, field, mapping, sequence, text
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.jq import is_jq
from gitops_policy.registry import BUILD, rule
from gitops_policy.world import World

_APPS = "https://argo-cd.readthedocs.io/en/stable/user-guide/application-specification/"
_SYNC = "https://argo-cd.readthedocs.io/en/stable/user-guide/sync-options/"
_DIFFING = "https://argo-cd.readthedocs.io/en/stable/user-guide/diffing/"
_DECLARATIVE = "https://argo-cd.readthedocs.io/en/stable/operator-manual/declarative-setup/"
_ANY_NAMESPACE = "https://argo-cd.readthedocs.io/en/stable/operator-manual/app-any-namespace/"
_CONFIG_MAPS = (
    "argocd-cm",
    "argocd-cmd-params-cm",
    "argocd-rbac-cm",
    "argocd-ssh-known-hosts-cm",
    "argocd-tls-certs-cm",
)
_PART_OF = "app.kubernetes.io/part-of"
SYNC_OPTIONS = (
    "ApplyOutOfSyncOnly",
    "ClientSideApplyMigration",
    "CreateNamespace",
    "Delete",
    "FailOnSharedResource",
    "PruneLast",
    "PrunePropagationPolicy",
    "Prune",
    "Replace",
    "RespectIgnoreDifferences",
    "ServerSideApply",
    "SkipDryRunOnMissingResource",
    "Validate",
)


@rule(
    id="application-in-argocd-namespace",
    title="Applications and AppProjects are in Argo CD's namespace",
    severity="warning",
    rationale="Argo CD does not look at an Application or project elsewhere, unless told to.",
    references=[_DECLARATIVE, _ANY_NAMESPACE],
    kinds=[APPLICATION, PROJECT],
    known_as=["datree:39"],
)
def application_in_argocd_namespace(resource: Resource, world: World) -> Iterator[Problem]:
    """metadata.namespace is argocd, or one that an AppProject lists in sourceNamespaces."""
    namespace = text(resource.content, "metadata", "namespace") or world.build.namespace
    listed = {
        str(item)
        for project in world.index.of_kind(PROJECT)
        for item in sequence(project.spec, "sourceNamespaces")
    }
    if namespace == "argocd" or (resource.group_kind == APPLICATION and namespace in listed):
        return
    yield resource.problem(
        ("metadata", "namespace"), f"it is in namespace {namespace!r}", "put it into argocd"
    )


@rule(
    id="application-source-valid",
    title="An Application's source is a path or a chart",
    severity="warning",
    rationale="With both Argo CD takes the chart and never looks at the path; with none it fails.",
    references=[_APPS],
    kinds=APPLICATIONS,
    known_as=["kyverno:application-field-validation"],
)
@also_of_sets
def application_source_valid(application: Resource) -> Iterator[Problem]:
    """Each source has exactly one of path and chart, or is a ref for the values of another."""
    found = list(sources(application))
    if not found and mapping(application.spec, "sourceHydrator") == {}:
        yield application.problem(("spec", "source"), "there is no source", "add one")
    for path, source in found:
        number = sum(bool(text(source, name)) for name in ("path", "chart"))
        if number == 2 or (number == 0 and not text(source, "ref")):
            yield application.problem(
                path, "not exactly one of path and chart is set", "keep one of them"
            )


@rule(
    id="application-destination-valid",
    title="An Application's destination is a server or a name",
    severity="warning",
    rationale="Argo CD refuses an Application that names its cluster twice, or not at all.",
    references=[_APPS],
    kinds=APPLICATIONS,
    known_as=["kyverno:application-field-validation"],
)
@also_of_sets
def application_destination_valid(application: Resource) -> Iterator[Problem]:
    """destination has exactly one of server and name."""
    destination = mapping(application.spec, "destination")
    if sum(bool(text(destination, name)) for name in ("server", "name")) != 1:
        yield application.problem(
            ("spec", "destination"),
            "not exactly one of server and name is set",
            "name the cluster once",
        )


@rule(
    id="application-name-unique",
    title="No two Applications have one name",
    severity="error",
    rationale="They overwrite each other: one of them is never delivered, and nothing says so.",
    references=["https://argo-cd.readthedocs.io/en/stable/operator-manual/applicationset/"],
    kinds=BUILD,
    known_as=["argocd-source-lint:duplicate-application-name"],
)
def application_name_unique(world: World) -> Iterator[Problem]:
    """Names are unique in a namespace, those that ApplicationSets make included."""
    seen: set[tuple[str, str]] = set()
    for application in all_applications(world):
        key = (application.namespace, application.name)
        if application.name and key in seen:
            yield application.problem(
                ("metadata", "name"), f"{application.name!r} is the name of another", "rename one"
            )
        seen.add(key)


@rule(
    id="application-sync-options-known",
    title="Argo CD knows each sync option of an Application",
    severity="warning",
    rationale="Argo CD ignores an option that it does not know, wrong case included.",
    references=[_SYNC],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:unknown-sync-option"],
)
@also_of_sets
def application_sync_options_known(application: Resource) -> Iterator[Problem]:
    """Each entry of syncOptions is Key=value with a known key."""
    path: Path = ("spec", "syncPolicy", "syncOptions")
    for i, option in enumerate(sequence(application.content, *path)):
        key, equals, value = str(option).partition("=")
        if key not in SYNC_OPTIONS or not equals or not value:
            yield application.problem(
                (*path, i), f"{option!r} is no sync option", "see the list of sync options"
            )


@rule(
    id="application-validates",
    title="An Application does not switch validation off",
    severity="info",
    rationale="Validate=false applies misspelled fields: the API server drops them in silence.",
    references=[_SYNC + "#disable-kubectl-validation"],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:sync-validation-disabled"],
)
@also_of_sets
def application_validates(application: Resource) -> Iterator[Problem]:
    """syncOptions has no Validate=false."""
    if "Validate=false" in options(application):
        yield application.problem(
            ("spec", "syncPolicy", "syncOptions"),
            "nothing that it applies is validated",
            "remove Validate=false, or set it on the one object that needs it",
        )


@rule(
    id="ignored-pointers-valid",
    title="An ignored JSON pointer is one",
    severity="error",
    rationale="A pointer without its leading slash points to nothing: nothing is ignored.",
    references=[_DIFFING, "https://www.rfc-editor.org/rfc/rfc6901"],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:malformed-ignore-diff-pointer"],
)
@also_of_sets
def ignored_pointers_valid(application: Resource) -> Iterator[Problem]:
    """Each entry of jsonPointers starts with a slash."""
    for i, item in entries(application.spec, "ignoreDifferences"):
        for j, pointer in enumerate(sequence(item, "jsonPointers")):
            if not isinstance(pointer, str) or not pointer.startswith("/"):
                yield application.problem(
                    ("spec", "ignoreDifferences", i, "jsonPointers", j),
                    f"{pointer!r} is no JSON pointer",
                    "write /spec/replicas",
                )


@rule(
    id="ignored-jq-valid",
    title="An ignored jq path is one",
    severity="error",
    rationale="One expression that does not compile voids every ignored difference.",
    references=[_DIFFING],
    kinds=APPLICATIONS,
    known_as=["argocd-source-lint:malformed-ignore-diff-jq-expression"],
)
@also_of_sets
def ignored_jq_valid(application: Resource) -> Iterator[Problem]:
    """Each entry of jqPathExpressions starts with a dot and closes what it opens."""
    for i, item in entries(application.spec, "ignoreDifferences"):
        for j, expression in enumerate(sequence(item, "jqPathExpressions")):
            if not isinstance(expression, str) or not is_jq(expression):
                yield application.problem(
                    ("spec", "ignoreDifferences", i, "jqPathExpressions", j),
                    f"{expression!r} is no jq path",
                    "write .spec.replicas",
                )


@rule(
    id="project-denies-cluster-kinds",
    title="An AppProject denies all cluster-scoped kinds by name",
    severity="warning",
    rationale="A deny list holds even when somebody adds a kind to the allow list.",
    references=["https://argo-cd.readthedocs.io/en/stable/user-guide/projects/"],
    kinds=[PROJECT],
    known_as=["kyverno:appproject-clusterresourceblacklist"],
    default=False,
)
def project_denies_cluster_kinds(project: Resource) -> Iterator[Problem]:
    """clusterResourceBlacklist is there, each entry with wildcards for group and kind."""
    path: Path = ("spec", "clusterResourceBlacklist")
    if "clusterResourceBlacklist" not in project.spec:
        yield project.problem(path, "there is no such list", "deny group '*', kind '*'")
    for i, item in entries(project.content, *path):
        for name in ("group", "kind"):
            if "*" not in text(item, name):
                yield project.problem((*path, i, name), f"{name} is no wildcard", "write '*'")


@rule(
    id="argocd-config-map-label",
    title="Argo CD's ConfigMaps carry its label",
    severity="info",
    rationale="Argo CD does not read a ConfigMap of the right name without this label.",
    references=[_DECLARATIVE],
    kinds=["ConfigMap"],
    known_as=["datree:37"],
)
def argocd_config_map_label(config: Resource) -> Iterator[Problem]:
    """argocd-cm and its kin carry app.kubernetes.io/part-of: argocd."""
    if config.name in _CONFIG_MAPS and field(config.labels, _PART_OF) != "argocd":
        yield config.problem(
            ("metadata", "labels", _PART_OF), "Argo CD does not see it", "set it to argocd"
        )
