"""CloudNativePG clusters: they survive a node, a zone and a mistake."""

from __future__ import annotations

from collections.abc import Iterator

from gitops_policy.fields import Path, entries, field, mapping, text
from gitops_policy.findings import Severity
from gitops_policy.kubernetes.producers import secret_keys
from gitops_policy.kubernetes.scaling import count
from gitops_policy.kubernetes.selectors import matches
from gitops_policy.model import Problem, Resource
from gitops_policy.notations.quantities import quantity
from gitops_policy.registry import rule
from gitops_policy.world import World

_CLUSTER = "postgresql.cnpg.io/Cluster"
_SCHEDULED = "postgresql.cnpg.io/ScheduledBackup"
_DOCS = "https://cloudnative-pg.io/documentation/current/"
_BARMAN = "barmanObjectStore"


def _severity(world: World) -> Severity | None:
    """Return error in production, info in dev, and the rule's own elsewhere."""
    named = {"production": Severity.error, "dev": Severity.info}
    return named.get(world.environment or "")


@rule(
    id="database-instances",
    title="A database has three instances",
    severity="warning",
    rationale="With two, a failover leaves one: the next failure is an outage.",
    references=[_DOCS + "architecture/"],
    kinds=[_CLUSTER],
)
def database_instances(cluster: Resource, world: World) -> Iterator[Problem]:
    """spec.instances is 3 or more; an error in production, information in dev."""
    instances = count(cluster.spec.get("instances"), 1)
    if instances < 3:
        yield cluster.problem(
            ("spec", "instances"),
            f"{instances} instances",
            "set it to 3, one for each zone",
            severity=_severity(world),
        )


@rule(
    id="database-disruption-budget",
    title="A database keeps its PodDisruptionBudget",
    severity="error",
    rationale="Without it a node drain evicts the primary together with its replicas.",
    references=[_DOCS + "kubernetes_upgrade/"],
    kinds=[_CLUSTER],
)
def database_disruption_budget(cluster: Resource) -> Iterator[Problem]:
    """enablePDB is not false."""
    if cluster.spec.get("enablePDB") is False:
        yield cluster.problem(("spec", "enablePDB"), "nothing limits evictions", "remove it")


@rule(
    id="database-spread",
    title="The instances of a database stand on different nodes",
    severity="error",
    rationale="Two instances on one node fail together.",
    references=[_DOCS + "scheduling/"],
    kinds=[_CLUSTER],
)
def database_spread(cluster: Resource, world: World) -> Iterator[Problem]:
    """Anti-affinity is on, and required in production or kept by a topology spread."""
    path: Path = ("spec", "affinity")
    affinity = mapping(cluster.content, *path)
    if affinity.get("enablePodAntiAffinity") is False and not affinity.get(
        "additionalPodAntiAffinity"
    ):
        yield cluster.problem(
            (*path, "enablePodAntiAffinity"), "instances may share a node", "remove it"
        )
    elif world.environment == "production":
        spread = cluster.spec.get("topologySpreadConstraints")
        if affinity.get("podAntiAffinityType") != "required" and not spread:
            yield cluster.problem(
                (*path, "podAntiAffinityType"),
                "two instances may share a node when others are full",
                "set podAntiAffinityType: required, or topologySpreadConstraints",
                severity=Severity.warning,
            )


@rule(
    id="database-wal-storage",
    title="A database has a volume for its write-ahead log",
    severity="warning",
    rationale="On one volume, a log that is not archived fills the disk of the data, and it stops.",
    references=[_DOCS + "storage/#volume-for-wal"],
    kinds=[_CLUSTER],
)
def database_wal_storage(cluster: Resource) -> Iterator[Problem]:
    """spec.walStorage is set."""
    if not mapping(cluster.spec, "walStorage"):
        yield cluster.problem(("spec", "walStorage"), "the log shares the data's volume", "set it")


@rule(
    id="database-superuser-off",
    title="No superuser logs in over the network",
    severity="warning",
    rationale="Its password reads and writes everything, past every role that was set up.",
    references=[_DOCS + "security/"],
    kinds=[_CLUSTER],
)
def database_superuser_off(cluster: Resource) -> Iterator[Problem]:
    """enableSuperuserAccess is not true."""
    if cluster.spec.get("enableSuperuserAccess") is True:
        yield cluster.problem(
            ("spec", "enableSuperuserAccess"), "the superuser has a password", "remove it"
        )


@rule(
    id="database-guaranteed",
    title="A database has guaranteed resources",
    severity="warning",
    rationale="A Burstable database is the first to be killed when a node runs out of memory.",
    references=[_DOCS + "resource_management/"],
    kinds=[_CLUSTER],
)
def database_guaranteed(cluster: Resource) -> Iterator[Problem]:
    """Requests and limits of cpu and memory are set, and equal."""
    resources = mapping(cluster.spec, "resources")
    for name in ("cpu", "memory"):
        limit = quantity(field(resources, "limits", name))
        request = quantity(field(resources, "requests", name))
        if limit is None or (request is not None and request != limit):
            yield cluster.problem(
                ("spec", "resources", "limits", name),
                f"{name} is not guaranteed",
                "set the limit, and the same request",
            )


@rule(
    id="database-backed-up",
    title="A database has a backup with a schedule",
    severity="warning",
    rationale="Replicas copy a mistake within milliseconds: only a backup brings the data back.",
    references=[_DOCS + "backup/"],
    kinds=[_CLUSTER],
)
def database_backed_up(cluster: Resource, world: World) -> Iterator[Problem]:
    """A plugin archives the log or snapshots are set up, and a ScheduledBackup names it."""
    archives = any(
        item.get("isWALArchiver") is True and item.get("enabled") is not False
        for _, item in entries(cluster.spec, "plugins")
    )
    if not archives and not mapping(cluster.spec, "backup"):
        yield cluster.problem(
            ("spec", "plugins"),
            "nothing archives its log",
            "add the Barman Cloud plugin with isWALArchiver: true",
            severity=_severity(world),
        )
    scheduled = [
        item
        for item in world.index.of_kind(_SCHEDULED)
        if item.namespace == cluster.namespace
        and text(item.spec, "cluster", "name") == cluster.name
        and item.spec.get("suspend") is not True
    ]
    if not scheduled:
        yield cluster.problem(
            ("metadata", "name"),
            "no ScheduledBackup names it",
            "add one with a schedule of six fields",
            severity=_severity(world),
        )


@rule(
    id="scheduled-backup-cluster-exists",
    title="A ScheduledBackup names a database that exists",
    severity="error",
    rationale="A backup of a misspelled cluster fails every night, and nobody looks.",
    references=[_DOCS + "backup/#scheduled-backups"],
    kinds=[_SCHEDULED],
    needs_whole=True,
)
def scheduled_backup_cluster_exists(backup: Resource, world: World) -> Iterator[Problem]:
    """spec.cluster.name is a Cluster of the namespace, with what its method needs."""
    name = text(backup.spec, "cluster", "name")
    cluster = world.index.get(_CLUSTER, backup.namespace, name)
    if cluster is None:
        yield backup.problem(
            ("spec", "cluster", "name"), f"there is no Cluster {name!r}", "correct the name"
        )
        return
    method = text(backup.spec, "method") or _BARMAN
    parts = mapping(cluster.spec, "backup")
    fits = bool(entries(cluster.spec, "plugins")) if method == "plugin" else method in parts
    if not fits:
        yield backup.problem(
            ("spec", "method"),
            f"Cluster {name!r} has no {method}",
            "use the method that the Cluster has set up",
        ).regardless()


@rule(
    id="no-in-tree-barman",
    title="A database does not use the deprecated in-tree backup",
    severity="error",
    rationale="Deprecated since CloudNativePG 1.26: the upgrade that lacks it ends the backups.",
    references=["https://cloudnative-pg.io/plugin-barman-cloud/docs/migration"],
    kinds=[_CLUSTER],
)
def no_in_tree_barman(cluster: Resource) -> Iterator[Problem]:
    """Neither backup nor an external cluster has barmanObjectStore."""
    fix = "use an ObjectStore of the Barman Cloud plugin"
    if field(cluster.spec, "backup", _BARMAN) is not None:
        yield cluster.problem(("spec", "backup", _BARMAN), "it is deprecated", fix)
    for i, external in entries(cluster.spec, "externalClusters"):
        if external.get(_BARMAN) is not None:
            yield cluster.problem(("spec", "externalClusters", i, _BARMAN), "it is deprecated", fix)


@rule(
    id="database-monitored",
    title="Prometheus scrapes a database",
    severity="warning",
    rationale="Replication lag and a full disk are seen in its metrics, hours before the outage.",
    references=[_DOCS + "monitoring/"],
    kinds=[_CLUSTER],
)
def database_monitored(cluster: Resource, world: World) -> Iterator[Problem]:
    """A PodMonitor selects its pods, or the operator makes one."""
    labels = {"cnpg.io/cluster": cluster.name, "cnpg.io/podRole": "instance"}
    for monitor in world.index.of_kind("monitoring.coreos.com/PodMonitor"):
        wanted = field(monitor.spec, "selector")
        if wanted and monitor.namespace == cluster.namespace and matches(wanted, labels):
            return
    if field(cluster.spec, "monitoring", "enablePodMonitor") is not True:
        yield cluster.problem(
            ("spec", "monitoring"), "nothing scrapes it", "add a PodMonitor for cnpg.io/cluster"
        )


@rule(
    id="database-secret-exists",
    title="Something makes each Secret that a database reads",
    severity="error",
    rationale="A Cluster with a missing Secret is never created, or never backed up.",
    references=[_DOCS + "bootstrap/", _DOCS + "declarative_role_management/"],
    kinds=[_CLUSTER, "barmancloud.cnpg.io/ObjectStore"],
    needs_whole=True,
)
def database_secret_exists(resource: Resource, world: World) -> Iterator[Problem]:
    """Secrets of bootstrap, superuser, roles, certificates, backups and other clusters."""
    made = secret_keys(world)
    for path, name, key in _secrets(resource.spec):
        place = (resource.namespace, name)
        if place not in made:
            yield resource.problem(
                ("spec", *path), f"nothing makes a Secret {name!r}", "add an ExternalSecret"
            )
            continue
        keys = made[place]
        if key and keys is not None and key not in keys:
            yield resource.problem(
                ("spec", *path), f"Secret {name!r} has no key {key!r}", "add it"
            ).regardless()


def _secrets(value: object, path: Path = ()) -> Iterator[tuple[Path, str, str]]:
    """Yield path, name and key of each reference to a Secret below a value."""
    if isinstance(value, list):
        for i, item in enumerate(value):
            yield from _secrets(item, (*path, i))
    elif isinstance(value, dict):
        for name, item in value.items():
            if name.lower().endswith("secret") and isinstance(item, str) and item:
                yield (*path, name), item, ""
            elif text(item, "name") and (name.lower().endswith("secret") or _keyed(item)):
                yield (*path, name), text(item, "name"), text(item, "key")
            else:
                yield from _secrets(item, (*path, name))


def _keyed(item: object) -> bool:
    """Say whether a mapping is a name and a key, and nothing else: a key of a Secret."""
    return set(mapping(item)) == {"name", "key"}
